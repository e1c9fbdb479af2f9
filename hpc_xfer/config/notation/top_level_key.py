"""Write one key at the top level of a YAML text, and leave the rest as it is."""

import json

import yaml


def with_top_level_key(text: str, key: str, value: str) -> str:
    """Return the text with `key: value` at its end; the key's old value is removed.

    Args:
        text: a YAML mapping.
        value: in one line, as JSON.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    for key_node, value_node in root.value:
        if key_node.value == key:
            start, end = key_node.start_mark.index, value_node.end_mark.index
            rest = text[end:].lstrip().removeprefix(",") if root.flow_style else text[end:]
            return _appended(text[:start] + rest, key, value)
    return _appended(text, key, value)


def _appended(text: str, key: str, value: str) -> str:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    if not root.flow_style:
        indent = " " * root.start_mark.column
        ended = text if text.endswith("\n") else f"{text}\n"
        return f"{ended}{indent}{key}: {value}\n"
    end = root.end_mark.index - 1  # of the closing brace
    comma = "" if text[:end].rstrip().endswith((",", "{")) else ","
    return f"{text[:end]}\n{comma} {json.dumps(key)}: {value}{text[end:]}"
