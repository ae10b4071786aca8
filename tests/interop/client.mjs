// The official SignalR client as a plain consumer. It reads one JSON task from standard input,
// subscribes, counts until it has what it was told to expect, and prints one JSON report.
//
// task: {url, token, contracts, expected, skipNegotiation, quotes, protocol, bufferBytes,
//        limitMs}; with bufferBytes it asks for stateful reconnect
import { createHash } from "node:crypto";
import { text } from "node:stream/consumers";
import { HttpTransportType, HubConnectionBuilder, LogLevel } from "@microsoft/signalr";
import { MessagePackHubProtocol } from "@microsoft/signalr-protocol-msgpack";
import { decodeTimestampToTimeSpec, ExtensionCodec, EXT_TIMESTAMP } from "@msgpack/msgpack";

const task = JSON.parse(await text(process.stdin));
const hash = createHash("sha256");
const report = {
  trades: 0,
  byContract: {},
  quotes: 0,
  connectionIds: [],
  reconnecting: 0,
  reconnected: 0,
  refusal: null,
};

// A Date ends at milliseconds, so a time is kept as seconds and nanoseconds.
const extensionCodec = new ExtensionCodec();
extensionCodec.register({
  type: EXT_TIMESTAMP,
  encode: () => null,
  decode: decodeTimestampToTimeSpec,
});

// The text that JSON has for a pair of time and offset: up to seven digits, without end zeros.
function stampText([{ sec, nsec }, offsetMinutes]) {
  const seconds = new Date((sec - offsetMinutes * 60) * 1000).toISOString().slice(0, 19);
  const digits = String(nsec).padStart(9, "0").slice(0, 7).replace(/0+$/, "");
  return `${seconds}${digits && "."}${digits}+00:00`;
}

// MessagePack has PascalCase members, and decimals as text.
function asInJson(one) {
  return {
    timestamp: stampText(one.Timestamp),
    price: Number(one.Price),
    volume: one.Volume,
    type: one.Type,
  };
}

const isPacked = task.protocol === "messagepack";
const builder = new HubConnectionBuilder();
if (isPacked) {
  builder.withHubProtocol(new MessagePackHubProtocol({ extensionCodec }));
}
if (task.bufferBytes) {
  builder.withStatefulReconnect({ bufferSize: task.bufferBytes });
}
const connection = builder
  .withUrl(task.url, {
    accessTokenFactory: () => task.token,
    skipNegotiation: task.skipNegotiation,
    transport: HttpTransportType.WebSockets,
  })
  .withAutomaticReconnect([0, 100, 100, 100])
  .configureLogging(LogLevel.None)
  .build();

const complete = new Promise((resolve, reject) => {
  connection.on("GatewayTrade", (contractId, trades) => {
    for (const one of isPacked ? trades.map(asInJson) : trades) {
      hash.update(`${contractId} ${one.timestamp} ${one.price} ${one.volume} ${one.type ?? -1}\n`);
    }
    report.trades += trades.length;
    report.byContract[contractId] = (report.byContract[contractId] ?? 0) + trades.length;
    if (report.trades >= task.expected) {
      resolve();
    }
  });
  connection.onclose((error) => reject(error ?? new Error("the connection was closed")));
  setTimeout(
    () => reject(new Error(`${report.trades} of ${task.expected} trades in ${task.limitMs} ms`)),
    task.limitMs,
  ).unref();
});
// A failure before anybody waits for it is reported where it is awaited.
complete.catch(() => {});

connection.on("GatewayQuote", () => {
  report.quotes += 1;
});
connection.onreconnecting(() => {
  report.reconnecting += 1;
});
connection.onreconnected(async (connectionId) => {
  report.reconnected += 1;
  report.connectionIds.push(connectionId);
  await subscribe();
});

async function subscribe() {
  for (const contractId of task.contracts) {
    if (task.quotes) {
      await connection.invoke("SubscribeContractQuotes", contractId);
    }
    await connection.invoke("SubscribeContractTrades", contractId);
  }
}

try {
  await connection.start();
  report.connectionIds.push(connection.connectionId);
  try {
    await connection.invoke("SubscribeContractTrades", "CON.F.US.NONE.Z99");
  } catch (error) {
    report.refusal = error.message;
  }
  await subscribe();
  await complete;
  // An awaited call is answered behind everything sent before it: a trade too many would show.
  for (const contractId of task.contracts) {
    await connection.invoke("UnsubscribeContractTrades", contractId);
  }
  report.checksum = hash.digest("hex");
} catch (error) {
  report.error = String(error);
}
await connection.stop();
console.log(JSON.stringify(report));
