"""Event files: what TensorBoard reads, written with its own package, which needs no torch.

The same run gives the same bytes: the time of every event is 0.
"""

import io
import struct
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING

from hpc_xfer.reporting.tensorboard.board_run import BoardRun, Setting

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

_RGBA = 4  # channels; TensorBoard shows the file as it is


def encode(run: BoardRun) -> bytes:
    """Make the event file of a run; its steps never go back, which would drop later ones."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    file = io.BytesIO()
    writer = RecordWriter(file)
    for event in (Event(file_version="brain.Event:2"), *_events(run)):
        writer.write(event.SerializeToString(deterministic=True))
    return file.getvalue()


def _events(run: BoardRun) -> "Iterator[Event]":
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    if run.settings:
        yield Event(summary=Summary(value=_session(run.settings, run.is_complete)))
    if run.text:
        yield Event(summary=Summary(value=[_text(run.name, run.text)]))
    for tag, png in sorted(run.images.items()):
        yield Event(summary=Summary(value=[_image(tag, png)]))
    points = sorted(run.points, key=lambda point: (point.step, point.tag))
    for step, group in groupby(points, key=lambda point: point.step):
        values = [Summary.Value(tag=point.tag, simple_value=point.value) for point in group]
        yield Event(step=step, summary=Summary(value=values))


def _text(tag: str, text: str) -> "Summary.Value":
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING
    from tensorboard.plugins.text import metadata

    return Summary.Value(
        tag=tag,
        metadata=metadata.create_summary_metadata(None, None),
        tensor=TensorProto(dtype=DT_STRING, string_val=[text.encode()]),
    )


def _image(tag: str, png: bytes) -> "Summary.Value":
    from tensorboard.compat.proto.summary_pb2 import Summary

    width, height = struct.unpack(">II", png[16:24])  # of its header
    image = Summary.Image(height=height, width=width, colorspace=_RGBA, encoded_image_string=png)
    return Summary.Value(tag=tag, image=image)


def _session(settings: Mapping[str, Setting], is_complete: bool) -> "list[Summary.Value]":
    """Make a row of HParams: its start with the settings, and its end."""
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    start = plugin_data_pb2.SessionStartInfo()
    for name, value in settings.items():
        if isinstance(value, str):
            start.hparams[name].string_value = value
        else:
            start.hparams[name].number_value = value
    status = api_pb2.STATUS_SUCCESS if is_complete else api_pb2.STATUS_RUNNING
    end = plugin_data_pb2.SessionEndInfo(status=status)
    return [
        _plugin_value(tag, plugin_data_pb2.HParamsPluginData(**{name: info}))
        for tag, name, info in (
            (metadata.SESSION_START_INFO_TAG, "session_start_info", start),
            (metadata.SESSION_END_INFO_TAG, "session_end_info", end),
        )
    ]


def _plugin_value(tag: str, data: "HParamsPluginData") -> "Summary.Value":
    """Put HParams into a value; serialized here, since its map would come in any order."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.plugins.hparams import metadata

    plugin = SummaryMetadata.PluginData(
        plugin_name=metadata.PLUGIN_NAME, content=data.SerializeToString(deterministic=True)
    )
    return Summary.Value(
        tag=tag, metadata=SummaryMetadata(plugin_data=plugin), tensor=metadata.NULL_TENSOR
    )
