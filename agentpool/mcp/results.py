"""What a host is given of a call."""

from mcp_types import CallToolResult, TextContent

from agentpool.mcp.answers import Answer, said

__all__ = ("refused", "result_of")


def result_of(answer: Answer) -> CallToolResult:
    """Give an answer to a host."""
    return CallToolResult(content=[TextContent(type="text", text=said(answer))])


def refused(words: str) -> CallToolResult:
    """Tell a model what is wrong, so that it can do better."""
    return CallToolResult(content=[TextContent(type="text", text=words)], is_error=True)
