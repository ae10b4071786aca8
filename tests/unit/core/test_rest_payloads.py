"""REST payloads: bodies, refusals in one sentence, and which contract is meant."""

from __future__ import annotations

import traceback

import msgspec
import pytest

from tapekeeper.core.gateway.rest_payloads import (
    Account,
    BarUnit,
    HistoryBar,
    Operation,
    account_search_body,
    accounts,
    contract_available_body,
    contract_by_id_body,
    contract_search_body,
    decode_answer,
    history_bars,
    instruments,
    login_key_body,
    match_contract,
    new_token,
    retrieve_bars_body,
    token,
)
from tapekeeper.errors import AuthError, GatewayError, RateLimitError, UnknownContractError
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.secret import Secret

SUCCESS = '"success":true,"errorCode":0,"errorMessage":null'
TOKEN = "test-token-not-a-secret"
CONTRACT = (
    '{"id":"CON.F.US.EP.Z26","name":"ESZ6","description":"E-mini S&P 500: December 2026",'
    '"tickSize":0.25,"tickValue":12.500000000,"activeContract":true,"symbolId":"F.US.EP"}'
)


def answered(members: str, operation: Operation = Operation.CONTRACT_SEARCH) -> object:
    """The answer of a body with these members."""
    return decode_answer(f"{{{members}}}".encode(), 200, operation)


@pytest.mark.parametrize(
    ("body", "members"),
    [
        (
            login_key_body("trader", Secret("test-key-not-a-secret")),
            {"userName": "trader", "apiKey": "test-key-not-a-secret"},
        ),
        (account_search_body(only_active=True), {"onlyActiveAccounts": True}),
        (contract_search_body("ES", live=False), {"searchText": "ES", "live": False}),
        (contract_by_id_body("CON.F.US.EP.Z26"), {"contractId": "CON.F.US.EP.Z26"}),
        (contract_available_body(live=True), {"live": True}),
        (
            retrieve_bars_body(
                "CON.F.US.EP.Z26",
                live=False,
                start_ns=1_795_185_000_000_000_000,
                end_ns=1_795_185_060_500_000_000,
                unit=BarUnit.MINUTE,
                unit_number=5,
            ),
            {
                "contractId": "CON.F.US.EP.Z26",
                "live": False,
                "startTime": "2026-11-20T14:30:00+00:00",
                "endTime": "2026-11-20T14:31:00.5+00:00",
                "unit": 2,
                "unitNumber": 5,
                "limit": 20_000,
                "includePartialBar": False,
            },
        ),
    ],
)
def test_bodies(body: bytes, members: dict[str, object]) -> None:
    """Bodies have the gateway's members, because it ignores misspelt ones in silence."""
    assert msgspec.json.decode(body) == members


def test_paths_and_units() -> None:
    """Operations know their path, units their number."""
    assert Operation.LOGIN_KEY.path == "/api/Auth/loginKey"
    assert [unit.code for unit in BarUnit] == [1, 2, 3, 4, 5, 6]


class TestAnswers:
    def test_tokens_are_secrets(self) -> None:
        """A token is given once, and no repr of the answer shows it."""
        answer = decode_answer(
            f'{{"token":"{TOKEN}",{SUCCESS}}}'.encode(), 200, Operation.LOGIN_KEY
        )
        assert token(answer) == Secret(TOKEN)
        assert TOKEN not in repr(answer)

    @pytest.mark.parametrize(
        ("member", "expected"),
        [
            (f'"newToken":"{TOKEN}",', Secret(TOKEN)),
            ('"newToken":null,', None),
            ('"newToken":"",', None),
            ("", None),
        ],
    )
    def test_validation_may_give_no_new_token(self, member: str, expected: Secret | None) -> None:
        """Null, empty or absent means to go on with the old token."""
        body = f"{{{member}{SUCCESS}}}".encode()
        assert new_token(decode_answer(body, 200, Operation.VALIDATE)) == expected

    @pytest.mark.parametrize("member", ["", '"token":null,', '"token":"",'])
    def test_a_login_without_a_token_is_an_error(self, member: str) -> None:
        """Success without a token is the gateway's fault, worth another try."""
        answer = decode_answer(f"{{{member}{SUCCESS}}}".encode(), 200, Operation.LOGIN_KEY)
        with pytest.raises(GatewayError, match="Auth/loginKey: the answer has no token") as raised:
            token(answer)
        assert raised.value.retryable

    def test_contracts(self) -> None:
        """Lists and single contracts become instruments; null and absent lists are empty."""
        expected = Instrument(
            contract_id="CON.F.US.EP.Z26",
            name="ESZ6",
            symbol_id="F.US.EP",
            description="E-mini S&P 500: December 2026",
            tick_size=0.25,
            tick_value=12.5,
            active=True,
        )
        body = f'{{"contracts":[{CONTRACT}],{SUCCESS}}}'.encode()
        assert instruments(decode_answer(body, 200, Operation.CONTRACT_SEARCH)) == [expected]
        body = f'{{"contract":{CONTRACT},{SUCCESS}}}'.encode()
        assert instruments(decode_answer(body, 200, Operation.CONTRACT_BY_ID)) == [expected]
        body = f'{{"contracts":null,{SUCCESS}}}'.encode()
        assert instruments(decode_answer(body, 200, Operation.CONTRACT_SEARCH)) == []

    def test_a_contract_with_an_id_only(self) -> None:
        """What is not said is unknown, and not the front contract."""
        body = f'{{"contracts":[{{"id":"X","tickSize":null}}],{SUCCESS}}}'.encode()
        (found,) = instruments(decode_answer(body, 200, Operation.CONTRACT_SEARCH))
        assert (found.tick_size, found.active) == (0.0, False)

    def test_accounts(self) -> None:
        """Accounts are read; unknown members are ignored."""
        body = (
            f'{{"accounts":[{{"id":1,"name":"A","balance":50000,"canTrade":true,'
            f'"isVisible":true,"stage":3}}],{SUCCESS}}}'
        ).encode()
        answer = decode_answer(body, 200, Operation.ACCOUNT_SEARCH)
        assert accounts(answer) == [
            Account(1, "A", 50000.0, can_trade=True, is_visible=True, simulated=None)
        ]

    def test_bars_come_oldest_first(self) -> None:
        """The gateway's newest-first order is turned; trailing zeros do not matter."""
        body = (
            '{"bars":[{"t":"2026-11-20T14:31:00+00:00","o":2,"h":3,"l":1,"c":2.5,"v":7.0},'
            '{"t":"2026-11-20T14:30:00+00:00","o":1.000000000,"h":2,"l":1,"c":2,"v":5,"d":1}],'
            f"{SUCCESS}}}"
        ).encode()
        assert history_bars(decode_answer(body, 200, Operation.RETRIEVE_BARS)) == [
            HistoryBar(1_795_185_000_000_000_000, 1.0, 2.0, 1.0, 2.0, 5),
            HistoryBar(1_795_185_060_000_000_000, 2.0, 3.0, 1.0, 2.5, 7),
        ]

    @pytest.mark.parametrize(
        ("time", "volume"), [("yesterday", "1"), ("2026-11-20T14:31:00+00:00", "1.5")]
    )
    def test_an_unreadable_bar_is_an_error(self, time: str, volume: str) -> None:
        """History that cannot be read is not silently thinned out."""
        bar = f'{{"t":"{time}","o":1,"h":1,"l":1,"c":1,"v":{volume}}}'
        answer = decode_answer(
            f'{{"bars":[{bar}],{SUCCESS}}}'.encode(), 200, Operation.RETRIEVE_BARS
        )
        with pytest.raises(GatewayError, match="History/retrieveBars: the answer has no"):
            history_bars(answer)


class TestRefusals:
    @pytest.mark.parametrize(
        ("operation", "code", "sentence", "kind", "retryable"),
        [
            (Operation.LOGIN_KEY, 3, "errorCode 3 InvalidCredentials", AuthError, False),
            (Operation.LOGIN_KEY, 7, "errorCode 7 AgreementsNotSigned", AuthError, False),
            (Operation.LOGIN_KEY, 8, "errorCode 8 UnknownError", AuthError, True),
            (Operation.LOGIN_KEY, 10, "10 ApiKeyAuthenticationDisabled", AuthError, False),
            (Operation.VALIDATE, 3, "errorCode 3 ExpiredToken", AuthError, False),
            (Operation.LOGOUT, 1, "errorCode 1 InvalidSession", AuthError, False),
            (Operation.CONTRACT_BY_ID, 1, "errorCode 1 ContractNotFound", GatewayError, False),
            (Operation.RETRIEVE_BARS, 4, "errorCode 4 LimitInvalid", GatewayError, False),
            (Operation.CONTRACT_SEARCH, 77, "refused .errorCode 77.", GatewayError, False),
        ],
    )
    def test_codes_are_named_by_operation(
        self,
        operation: Operation,
        code: int,
        sentence: str,
        kind: type[GatewayError],
        *,
        retryable: bool,
    ) -> None:
        """A refusal names the operation, the code and what the code means there."""
        body = f'{{"success":false,"errorCode":{code},"errorMessage":null}}'.encode()
        with pytest.raises(GatewayError, match=sentence) as raised:
            decode_answer(body, 200, operation)
        assert type(raised.value) is kind
        assert str(raised.value).startswith(operation.value)
        assert (raised.value.code, raised.value.status) == (code, 200)
        assert raised.value.retryable is retryable

    def test_the_gateway_s_own_words_are_passed_on_but_bounded(self) -> None:
        """The errorMessage is part of the sentence; a page of it is not."""
        body = '{"success":false,"errorCode":1,"errorMessage":"%s"}' % ("no " * 1_000)
        with pytest.raises(GatewayError, match=": no no no") as raised:
            decode_answer(body.encode(), 200, Operation.CONTRACT_BY_ID)
        assert len(str(raised.value)) < 500

    @pytest.mark.parametrize(
        "members",
        ["", '"success":false', '"success":true,"errorCode":5', '"errorCode":0', '"success":null'],
    )
    def test_success_must_be_said_twice(self, members: str) -> None:
        """Both `success` and a zero `errorCode` are wanted; anything else is no success."""
        with pytest.raises(GatewayError, match="Contract/search: the"):
            answered(members)

    def test_a_missing_code_counts_as_success(self) -> None:
        """A null or absent errorCode beside `success: true` is none."""
        assert answered('"success":true') == answered('"success":true,"errorCode":null')

    @pytest.mark.parametrize("status", [401, 403])
    def test_refused_tokens(self, status: int) -> None:
        """401 and 403 are about who asks."""
        with pytest.raises(AuthError, match=f"Account/search: .*status {status}") as raised:
            decode_answer(b"", status, Operation.ACCOUNT_SEARCH)
        assert raised.value.status == status
        assert not raised.value.retryable

    @pytest.mark.parametrize(
        ("asked", "sentence"), [(None, "status 429.$"), (2.5, "it asks to wait 2.5 s$")]
    )
    def test_rate_limit(self, asked: float | None, sentence: str) -> None:
        """429 carries how long to wait."""
        with pytest.raises(RateLimitError, match=sentence) as raised:
            decode_answer(b"", 429, Operation.RETRIEVE_BARS, retry_after_s=asked)
        assert raised.value.retry_after_s == asked
        assert raised.value.retryable

    @pytest.mark.parametrize(
        ("status", "retryable"), [(500, True), (503, True), (408, True), (404, False), (400, False)]
    )
    def test_other_statuses(self, status: int, *, retryable: bool) -> None:
        """Server errors may pass, client errors will not."""
        with pytest.raises(GatewayError, match=f"answered status {status}") as raised:
            decode_answer(b"{}", status, Operation.CONTRACT_SEARCH)
        assert raised.value.retryable is retryable

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"[" * 50_000, b'{"token":"\xff"}'])
    def test_an_unreadable_answer(self, body: bytes) -> None:
        """What is not the gateway's JSON is an error that may pass (a proxy, a half answer)."""
        with pytest.raises(GatewayError, match="the answer cannot be read") as raised:
            decode_answer(body, 200, Operation.LOGIN_KEY)
        assert raised.value.retryable

    def test_no_refusal_shows_a_secret(self) -> None:
        """Not even the traceback of an unreadable answer holds the token that was in it."""
        body = f'{{"token":"{TOKEN}","success":"maybe"}}'.encode()
        with pytest.raises(GatewayError) as raised:
            decode_answer(body, 200, Operation.LOGIN_KEY)
        assert TOKEN not in "".join(traceback.format_exception(raised.value))


def contract(name: str, contract_id: str, *, active: bool = True) -> Instrument:
    """An instrument with what matching looks at."""
    return Instrument(contract_id=contract_id, name=name, active=active)


ES = contract("ESZ6", "CON.F.US.EP.Z26")
ES_NEXT = contract("ESH7", "CON.F.US.EP.H27", active=False)
MES = contract("MESZ6", "CON.F.US.MES.Z26")
MES_NEXT = contract("MESH7", "CON.F.US.MES.H27", active=False)
MES_OLD = contract("MESZ6", "CON.F.US.MES.Z16", active=False)
FOUND = [MES_NEXT, ES_NEXT, MES_OLD, ES, MES]


class TestMatch:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("CON.F.US.MES.H27", MES_NEXT),
            ("con.f.us.mes.z16", MES_OLD),
            ("MESH7", MES_NEXT),
            ("mesh7", MES_NEXT),
            ("MESZ6", MES),
            ("MES", MES),
            (" mes ", MES),
            ("EP", ES),
            ("es", ES),
        ],
    )
    def test_id_name_or_product(self, text: str, expected: Instrument) -> None:
        """An id or a name means one contract; a product means its front contract."""
        assert match_contract(text, FOUND) == expected

    @pytest.mark.parametrize("text", ["E", "ME", "MESZ", "S", "", "F.US.MES"])
    def test_nothing_is_guessed(self, text: str) -> None:
        """A part of a name matches nothing, although the gateway's search finds it."""
        with pytest.raises(UnknownContractError, match="no contract is named"):
            match_contract(text, FOUND)

    def test_the_nearest_are_listed_first(self) -> None:
        """At most five candidates, those that begin alike and are active first."""
        others = [contract(f"X{n}Z6", f"CON.F.US.X{n}.Z26") for n in range(6)]
        with pytest.raises(UnknownContractError) as raised:
            match_contract("E", [*others, ES_NEXT, ES])
        assert str(raised.value) == (
            "no contract is named 'E'; near are: ESZ6 (CON.F.US.EP.Z26), "
            "ESH7 (CON.F.US.EP.H27), X0Z6 (CON.F.US.X0.Z26), X1Z6 (CON.F.US.X1.Z26), "
            "X2Z6 (CON.F.US.X2.Z26), ..."
        )

    def test_two_front_contracts_are_ambiguous(self) -> None:
        """Where two contracts claim to be the front, the user decides."""
        with pytest.raises(UnknownContractError, match="'MES' names several contracts"):
            match_contract("MES", [MES, contract("MESH7", "CON.F.US.MES.H27")])

    def test_a_product_without_a_front_contract_is_not_found(self) -> None:
        """An inactive contract is only meant when it is named."""
        with pytest.raises(UnknownContractError, match="near are: MESH7"):
            match_contract("MES", [MES_NEXT])

    def test_the_same_contract_twice_is_one(self) -> None:
        """A search that lists a contract twice is not ambiguous."""
        assert match_contract("MES", [MES, MES]) == MES

    def test_nothing_found(self) -> None:
        """An empty search says so."""
        with pytest.raises(UnknownContractError, match="the search found nothing"):
            match_contract("MES", [])
