"""What others rely on can be imported, and every list of public names is true."""

import ast
import importlib
import inspect
from collections.abc import AsyncIterable, AsyncIterator
from importlib.util import find_spec
from types import UnionType
from typing import get_args, get_type_hints

import msgspec
import pytest
from package_tree import ROOT, is_below, modules

import agentpool
from agentpool import AgentPoolStore, InMemoryAgentPoolStore, SqliteAgentPoolStore

PROMISED = """
    SqliteAgentPoolStore InMemoryAgentPoolStore AgentPoolStore replay decode encode
    AgentPoolStoreRecordPayload PoolOpened PoolCreated MemberJoined MemberLeft RunMessageRecorded
    WakeRecorded EventFilter CompiledEventFilter EventEnvelope RunMessage MessageStatus RunAddress
    AgentPoolSnapshot AgentPoolStoreCursor AgentPoolStoreRecord AgentPoolStoreConfig AgentPoolMember
    MessageReceipt WakeRegistration AgentPoolStoredWake AgentPoolStoredMessage WakeCondition
    AgentPoolMessagePolicy AgentPoolWakePolicy RunAddressTarget MessageResponseContract PolicyRef
    EntityRef SourceRef DestinationRef EventCorrelation CorrelationEntry SubscriberQueueConfig
    CausalRef WakeRegistrationStatus ResumeInputPolicy PolicyKind EntityKind SourceKind
    DestinationKind TrustClass PrivacyClass RetentionClass EventFamily EventDeliverySemantics
    PayloadAccessMode ContentCaptureMode SubscriberOverflowPolicy EventIndexField EventKind
    RunId AgentId AgentPoolId TopicId MessageId WakeConditionId ContentRef IdempotencyKey EventId
    TurnId AttemptId SessionId ContextItemId TraceId SpanId CorrelationKey CorrelationValue
    JournalCursor ArchiveCursorId AgentPoolError RetryClassification InvalidValueError
    PoolNotOpenError PoolConfigConflictError NotAMemberError IdempotencyConflictError
    InvalidTransitionError StoreBusyError StoreFullError StoreClosedError CorruptRecordError
    UnknownRecordError IncompatibleStoreError StoreError
    AgentPool WakeOutcome ClaimLostError ContentNotFoundError open_store open_pool PoolSummary
"""

SIGNATURES = {
    "open_pool": "pool_id config=None",
    "snapshot": "pool_id",
    "record_pool_created": "pool_id",
    "join_member": "pool_id member",
    "leave_member": "pool_id run_id",
    "message_receipt": "pool_id idempotency_key",
    "record_message": "pool_id message receipt",
    "record_messages": "pool_id messages",
    "wake_registration": "pool_id idempotency_key",
    "wake": "pool_id condition_id",
    "record_wake": "pool_id condition compiled_filter registration",
    "read": "pool_id cursor=None *limit=None",
    "watch": "pool_id cursor=None",
    "next_event_sequence": "pool_id",
    "pools": "",
    "put_content": "data *media_type=application/octet-stream",
    "get_content": "ref",
    "open_content": "ref",
    "aclose": "",
}


FOLDERS = {
    f"agentpool.{name}"
    for name in ("stores.batch", "rules", "rules.explaining", "wire", "runtime", "support", "web")
}
"""Packages that only hold modules."""

NEEDS = {
    "agentpool.stores.postgres": "psycopg",
    "agentpool.doctor.server": "psycopg",
    "agentpool.mcp": "mcp",
    "agentpool.otel": "opentelemetry",
    "agentpool.web": "starlette",
}
"""What cannot be loaded without an extra, and which package that brings."""

LOADABLE = {
    name
    for name in modules().keys() - FOLDERS
    if all(find_spec(package) for each, package in NEEDS.items() if is_below(name, each))
}


def described(parameter: inspect.Parameter) -> str:
    """Write a parameter as `SIGNATURES` does."""
    star = "*" if parameter.kind is inspect.Parameter.KEYWORD_ONLY else ""
    default = "" if parameter.default is inspect.Parameter.empty else f"={parameter.default}"
    return f"{star}{parameter.name}{default}"


@pytest.mark.parametrize("name", PROMISED.split())
def test_a_promised_name_is_public(name: str) -> None:
    assert name in agentpool.__all__


def test_all_names_what_is_imported_and_nothing_else() -> None:
    tree = modules()["agentpool"]
    imported = [a.name for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names]
    assert sorted(imported) == sorted([*agentpool.__all__, "__version__"])
    assert all(hasattr(agentpool, name) for name in agentpool.__all__)


def test_the_root_has_no_logic() -> None:
    kinds = {type(node) for node in modules()["agentpool"].body}
    assert kinds <= {ast.Expr, ast.ImportFrom, ast.Assign}


@pytest.mark.parametrize("name", sorted(LOADABLE))
def test_a_list_of_public_names_is_sorted_and_true(name: str) -> None:
    module = importlib.import_module(name)
    assert len(module.__all__) == len(set(module.__all__))
    assert all(hasattr(module, public) for public in module.__all__)


def is_public_leaf(name: str) -> bool:
    folder, _, leaf = name.rpartition(".")
    return (
        folder in {"agentpool", "agentpool.wire"}
        and name not in FOLDERS
        and (ROOT / folder.removeprefix("agentpool").removeprefix(".") / f"{leaf}.py").exists()
    )


@pytest.mark.parametrize("name", [name for name in sorted(modules()) if is_public_leaf(name)])
def test_what_a_public_module_defines_for_others_is_public(name: str) -> None:
    module = importlib.import_module(name)
    classes = {
        node.name
        for node in modules()[name].body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }
    assert set(module.__all__) <= defined_in(modules()[name])
    assert {cls for cls in classes if issubclass(getattr(module, cls), msgspec.Struct)} <= set(
        module.__all__
    )


def defined_in(tree: ast.Module) -> set[str]:
    """List the names that a module defines itself."""
    names = {node.name for node in tree.body if hasattr(node, "name")}
    targets: list[ast.expr] = []
    for node in tree.body:
        if isinstance(node, ast.AnnAssign):
            targets.append(node.target)
        elif isinstance(node, ast.Assign):
            targets += node.targets
    return names | {target.id for target in targets if isinstance(target, ast.Name)}


@pytest.mark.parametrize("name", SIGNATURES)
@pytest.mark.parametrize("store", [AgentPoolStore, InMemoryAgentPoolStore, SqliteAgentPoolStore])
def test_a_method_of_a_store_takes_what_was_promised(store: type, name: str) -> None:
    parameters = list(inspect.signature(getattr(store, name)).parameters.values())[1:]
    promised = SIGNATURES[name].split()
    assert [described(p) for p in parameters][: len(promised)] == promised
    more = parameters[len(promised) :]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in more)


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_methods_are_coroutines_but_for_those_that_are_iterated(name: str) -> None:
    is_iterated = name in {"watch", "open_content"}
    assert inspect.iscoroutinefunction(getattr(AgentPoolStore, name)) is not is_iterated


def test_opening_takes_a_path_and_keywords() -> None:
    parameters = list(inspect.signature(SqliteAgentPoolStore.open).parameters.values())
    assert parameters[0].name == "path"
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters[1:])
    assert {p.name: p.default for p in parameters}["synchronous"] == "FULL"


def test_replay_takes_records_and_the_pool_by_name() -> None:
    parameters = inspect.signature(agentpool.replay).parameters
    assert list(parameters) == ["records", "pool_id"]
    assert parameters["pool_id"].kind is inspect.Parameter.KEYWORD_ONLY
    assert get_type_hints(agentpool.replay)["records"].__origin__ is AsyncIterable
    assert issubclass(AsyncIterator, AsyncIterable)


def test_the_payload_is_a_union_of_six() -> None:
    union = agentpool.AgentPoolStoreRecordPayload
    assert isinstance(union, UnionType)
    assert [kind.__name__ for kind in get_args(union)] == [
        "PoolOpened",
        "PoolCreated",
        "MemberJoined",
        "MemberLeft",
        "RunMessageRecorded",
        "WakeRecorded",
    ]


def test_the_package_is_typed() -> None:
    assert (ROOT / "py.typed").read_bytes() == b""
