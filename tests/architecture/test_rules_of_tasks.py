"""Tasks belong to a group, queues have a bound, broad catches say why, time is an argument."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import pytest

Hold = Callable[[str, Iterable[str]], None]
Rule = Callable[["Module"], Iterator[int]]


@dataclass(frozen=True)
class Module:
    """One parsed file."""

    path: str
    text: str

    @property
    def nodes(self) -> Iterator[ast.AST]:
        """All nodes."""
        return ast.walk(parsed(self.text, self.path))

    @property
    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        """All calls of something with a name, as dotted text."""
        for node in self.nodes:
            if isinstance(node, ast.Call) and (name := dotted(node.func)):
                yield name, node

    @cached_property
    def imported(self) -> dict[str, str]:
        """Full dotted names by the names that imports bind in this file."""
        bound: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                bound |= {a.asname or a.name.split(".")[0]: a.name for a in node.names}
            elif isinstance(node, ast.ImportFrom):
                bound |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        return bound

    @property
    def groups(self) -> set[str]:
        """Names that are bound to a TaskGroup: by `async with`, or by an annotation."""
        found: set[str] = set()
        for node in self.nodes:
            if isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
                if "TaskGroup(" in ast.unparse(node.context_expr):
                    found.add(node.optional_vars.id)
            elif (
                isinstance(node, ast.arg | ast.AnnAssign)
                and node.annotation is not None
                and re.search(r"\bTaskGroup\b", ast.unparse(node.annotation))
            ):
                name = node.arg if isinstance(node, ast.arg) else dotted(node.target)
                found.add(name.rpartition(".")[2])
        return found

    @property
    def loops(self) -> set[str]:
        """Names that are bound to an event loop: by what gives one, or by an annotation."""
        found: set[str] = set()
        for node in self.nodes:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                if dotted(node.value.func).endswith("_loop"):
                    found |= {dotted(target).rpartition(".")[2] for target in node.targets}
            elif (
                isinstance(node, ast.arg)
                and node.annotation is not None
                and "EventLoop" in ast.unparse(node.annotation)
            ):
                found.add(node.arg)
        return found

    def full_name(self, node: ast.expr) -> str:
        """The dotted name of an expression, with what imports say of its first part."""
        first, dot, rest = dotted(node).partition(".")
        return self.imported.get(first, first) + dot + rest

    def says(self, mark: str, node: ast.AST) -> bool:
        """Whether `# mark: reason` stands on the line of `node` or on the line above."""
        line: int = getattr(node, "lineno", 1)
        near = self.text.splitlines()[max(0, line - 2) : line]
        return any(re.search(rf"# {mark}: \S", text) for text in near)


@cache
def parsed(text: str, path: str) -> ast.Module:
    """The tree of a file; each is read by many rules."""
    return ast.parse(text, path)


def dotted(node: ast.expr) -> str:
    """`a.b.c` of such an expression; a part that has no name is `?`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value) or '?'}.{node.attr}"
    return ""


def places(files: Mapping[str, str], rule: Rule) -> list[str]:
    """`path:line` of everything that `rule` finds."""
    return [f"{path}:{line}" for path, text in files.items() for line in rule(Module(path, text))]


TASK_MAKERS = {"create_task", "ensure_future", "run_coroutine_threadsafe"}


def loose_task(module: Module) -> Iterator[int]:
    """A maker of tasks that is named, called or not, but as that of a TaskGroup of the same file.

    A name that a loop is bound to somewhere in the file is no group's.
    """
    groups = module.groups - module.loops
    imported = module.imported
    for node in module.nodes:
        if isinstance(node, ast.Name):
            if imported.get(node.id, "").rpartition(".")[2] in TASK_MAKERS:
                yield node.lineno
        elif isinstance(node, ast.Attribute) and node.attr in TASK_MAKERS:
            if (dotted(node.value) or "?").rpartition(".")[2] not in groups:
                yield node.lineno
        elif isinstance(node, ast.Call) and module.full_name(node.func) == "asyncio.Task":
            yield node.lineno


ASIDE = re.compile(
    r"threading\.(Thread|Timer)|concurrent\.futures\.\w+Executor|asyncio\.gather"
    r"|(.*\.)?run_in_executor"
)


def beside(module: Module) -> Iterator[int]:
    """Work beside that nobody awaits, without `# aside: why, and what ends it`."""
    awaited = {id(node.value) for node in module.nodes if isinstance(node, ast.Await)}
    for node in module.nodes:
        if (
            isinstance(node, ast.Call)
            and ASIDE.fullmatch(module.full_name(node.func))
            and id(node) not in awaited
            and not module.says("aside", node)
        ):
            yield node.lineno


QUEUES = {"Queue", "LifoQueue", "PriorityQueue"}


def unbounded_queue(module: Module) -> Iterator[int]:
    """A queue or deque without a positive bound and without `# bound: what bounds it`."""
    for name, call in module.calls:
        kind = name.rpartition(".")[2]
        if kind in QUEUES:
            given = call.args[:1]
        elif kind == "deque":
            given = call.args[1:2]
        elif kind == "SimpleQueue":
            given = []
        else:
            continue
        given += [k.value for k in call.keywords if k.arg in {"maxsize", "maxlen"}]
        bounded = any(not (isinstance(g, ast.Constant) and not g.value) for g in given)
        if not bounded and not module.says("bound", call):
            yield call.lineno


BROAD = {"Exception", "BaseException"}


def broad_catch(module: Module) -> Iterator[int]:
    """A catch of everything without `# boundary: whose failure is contained, and why here`.

    A handler that ends in a bare `raise` undoes something and contains nothing.
    """
    for node in module.nodes:
        if isinstance(node, ast.ExceptHandler):
            last = node.body[-1]
            if isinstance(last, ast.Raise) and last.exc is None:
                continue
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            broad = any(kind is None or dotted(kind) in BROAD for kind in kinds)
        elif isinstance(node, ast.Call) and dotted(node.func).endswith("suppress"):
            broad = any(dotted(kind) in BROAD for kind in node.args)
        else:
            continue
        if broad and not module.says("boundary", node):
            yield node.lineno


HOST = re.compile(
    r"time\.(time|monotonic|perf_counter|process_time)(_ns)?|time\.sleep"
    r"|datetime\.(datetime|date)\.(now|utcnow|today)"
    r"|random\.(?!Random$)\w+|secrets\.\w+|uuid\.uuid[14]|os\.urandom"
)


def host_clock(module: Module) -> Iterator[int]:
    """A reading of the host's clock or randomness outside the adapter that owns them."""
    if module.path.endswith("adapters/clock.py"):
        return
    imported = module.imported
    for name, call in module.calls:
        first, dot, rest = name.partition(".")
        if HOST.fullmatch(imported.get(first, "") + dot + rest):
            yield call.lineno


def printing(module: Module) -> Iterator[int]:
    """A `print` outside the command line."""
    if "/cli/" not in module.path:
        yield from (call.lineno for name, call in module.calls if name == "print")


def real_sleep(module: Module) -> Iterator[int]:
    """A sleep in a test that is not 0 and not said to be in virtual time."""
    for name, call in module.calls:
        if name in {"asyncio.sleep", "time.sleep", "sleep"}:
            delay = call.args[0] if call.args else None
            zero = isinstance(delay, ast.Constant) and not delay.value
            if not zero and not module.says("virtual time", call):
                yield call.lineno


REASONS: dict[Rule, str] = {
    loose_task: "a task belongs to a TaskGroup that the file shows, so that none is lost",
    beside: "work that nobody awaits says why: `# aside: why, and what ends it`",
    unbounded_queue: "a queue has a bound, or `# bound: ...` says what bounds it",
    broad_catch: "a broad catch is a named boundary: `# boundary: whose failure, and why here`",
    host_clock: "time and randomness are arguments; only adapters/clock.py asks the host",
    printing: "only the command line prints",
}


@pytest.mark.parametrize("rule", REASONS, ids=lambda rule: rule.__name__)
def test_the_product_keeps_the_rule(rule: Rule, product: Mapping[str, str], hold: Hold) -> None:
    """No module of the package breaks a rule of tasks, queues, catches, time or output."""
    hold(REASONS[rule], places(product, rule))


def test_no_test_waits_for_real_time(tests: Mapping[str, str], hold: Hold) -> None:
    """Tests wait for what they need, or in virtual time; a positive sleep is a guess."""
    reason = "tests do not sleep, unless `# virtual time: ...` says that the loop's clock is ours"
    hold(reason, places(tests, real_sleep))


PLANTED = [
    (loose_task, "asyncio.create_task(work())"),
    (loose_task, "self._loop.create_task(work())"),
    (loose_task, "asyncio.get_running_loop().create_task(work())"),
    (loose_task, "tasks = asyncio.get_running_loop()\ntasks.create_task(work())"),
    (loose_task, "from asyncio import create_task as go\ngo(work())"),
    (loose_task, "import asyncio as aio\naio.ensure_future(work())"),
    (loose_task, "mk = asyncio.create_task\nmk(work())"),
    (loose_task, "list(map(asyncio.create_task, works))"),
    (loose_task, "asyncio.Task(work())"),
    (loose_task, "from asyncio import Task as T\nT(work())"),
    (
        loose_task,
        (
            "async with asyncio.TaskGroup() as tasks:\n    pass\n"
            "def f():\n    tasks = asyncio.get_running_loop()\n    tasks.create_task(work())"
        ),
    ),
    (
        loose_task,
        (
            "async with asyncio.TaskGroup() as tasks:\n    pass\n"
            "def f(tasks: asyncio.AbstractEventLoop):\n    tasks.create_task(work())"
        ),
    ),
    (beside, "import asyncio\nasyncio.gather(work(), work())"),
    (beside, "loop.run_in_executor(None, work)"),
    (beside, "asyncio.get_running_loop().run_in_executor(None, work)"),
    (beside, "import threading\nthreading.Thread(target=work).start()"),
    (beside, "from threading import Thread as T\nT(target=work).start()"),
    (beside, "from concurrent.futures import ThreadPoolExecutor\np = ThreadPoolExecutor(2)"),
    (unbounded_queue, "q = asyncio.Queue()"),
    (unbounded_queue, "q: asyncio.Queue[int] = asyncio.Queue(maxsize=0)"),
    (unbounded_queue, "q = deque()"),
    (unbounded_queue, "q = collections.deque(rows, maxlen=None)"),
    (unbounded_queue, "q = queue.SimpleQueue()"),
    (broad_catch, "try:\n    work()\nexcept Exception:\n    pass"),
    (broad_catch, "try:\n    work()\nexcept (OSError, BaseException):\n    pass"),
    (broad_catch, "try:\n    work()\nexcept:\n    pass"),
    (broad_catch, "try:\n    work()\nexcept Exception as e:\n    raise OSError from e"),
    (broad_catch, "with contextlib.suppress(Exception):\n    work()"),
    (host_clock, "import time\nnow = time.time_ns()"),
    (host_clock, "from time import monotonic as now\nnow()"),
    (host_clock, "import datetime as dt\nnow = dt.datetime.now(dt.UTC)"),
    (host_clock, "from datetime import date\ntoday = date.today()"),
    (host_clock, "import random\nx = random.random()"),
    (host_clock, "import os\nx = os.urandom(8)"),
    (printing, "print('here')"),
    (real_sleep, "await asyncio.sleep(0.1)"),
    (real_sleep, "time.sleep(delay_s)"),
]
ALLOWED = [
    (loose_task, "async def f(tg: asyncio.TaskGroup):\n    tg.create_task(work())"),
    (loose_task, "async with asyncio.TaskGroup() as all_of_it:\n    all_of_it.create_task(work())"),
    (loose_task, "self._tasks: asyncio.TaskGroup = tasks\nself._tasks.create_task(work())"),
    (loose_task, "def f(task: asyncio.Task[int]) -> None:\n    task.cancel()"),
    (beside, "import asyncio\nawait asyncio.gather(work(), work())"),
    (beside, "import threading\n# aside: it ends with the process\nthreading.Thread(target=work)"),
    (unbounded_queue, "q = asyncio.Queue(100)"),
    (unbounded_queue, "q = deque(maxlen=frames_max)"),
    (unbounded_queue, "# bound: one entry per contract\nq = deque()"),
    (broad_catch, "try:\n    work()\nexcept OSError:\n    pass"),
    (broad_catch, "try:\n    work()\nexcept BaseException:\n    undo()\n    raise"),
    (
        broad_catch,
        "try:\n    work()\nexcept Exception:  # boundary: a subscriber's own code\n    x()",
    ),
    (host_clock, "now = clock.now_ns()"),
    (host_clock, "import random\nrng = random.Random(seed)"),
    (host_clock, "def f(random: Random) -> float:\n    return random.random()"),
    (printing, "console.print('here')"),
    (real_sleep, "await asyncio.sleep(0)"),
    (real_sleep, "await asyncio.sleep(3600)  # virtual time: an hour passes at once"),
]


@pytest.mark.parametrize(("rule", "text"), PLANTED)
def test_a_planted_violation_is_found(rule: Rule, text: str) -> None:
    """Each rule finds what it forbids, so that a clean run means something."""
    assert list(rule(Module("src/tapekeeper/runtime/planted.py", text)))


@pytest.mark.parametrize(("rule", "text"), ALLOWED)
def test_what_is_allowed_is_let_through(rule: Rule, text: str) -> None:
    """Each rule leaves alone what the house does instead."""
    assert not list(rule(Module("src/tapekeeper/runtime/planted.py", text)))


def test_the_owner_of_the_clock_may_read_it() -> None:
    """The adapter that fills the Clock port is the one place that asks the host."""
    module = Module("src/tapekeeper/adapters/clock.py", "import time\nnow = time.time_ns()")
    assert not list(host_clock(module))
