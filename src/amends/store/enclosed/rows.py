"""Rows, headers and messages through a hand. Checksums are over what is stored."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...encryption import envelope
from ...encryption.payloads import Hand, commands_passed, detail_passed, event_passed, events_passed
from ...errors import CorruptJournal
from ...kernel import entries as e
from ...kernel.entries import NULL, Row
from ..port import Header, Message
from ..queueing import End, decode_end, encode_end, is_report
from .hands import Opening

SIGN = "$envelope"
"""In every text that has an envelope in it (and in some that have none)."""
UNOPENED = '["unopened","'
"""How what stands in place of a message that does not open begins: no event; then it says why."""


def enclosed_row(row: Row, hand: Hand, previous: int) -> Row:
    """The row as it is stored, chained to the `previous` checksum of what is stored."""
    events, commands = events_passed(row.events, hand), commands_passed(row.commands, hand)
    sum_ = e.checksum(row.position, row.now, events.encode(), commands.encode(), previous)
    return Row(row.position, row.now, events, commands, sum_)


def opened_rows(rows: Sequence[Row], hand: Opening) -> list[Row]:
    """Rows as the kernel reads them. From one on that is damaged they stay as they are: it will say so."""
    opened: list[Row] = []
    stored = clear = 0
    for place, row in enumerate(rows):
        try:
            e.opened(row, place, stored)
            events = events_passed(row.events, hand) if SIGN in row.events else row.events
            commands = commands_passed(row.commands, hand) if SIGN in row.commands else row.commands
        except CorruptJournal:
            return [*opened, *rows[place:]]
        stored = row.checksum
        clear = e.checksum(place, row.now, events.encode(), commands.encode(), clear)
        opened.append(Row(place, row.now, events, commands, clear))
    return opened


def header_passed(header: Header, hand: Hand) -> Header:
    """A copy of the header, with its payloads as the hand made them."""
    return msgspec.structs.replace(
        header,
        input=hand.raw("input", header.input.encode()).decode(),
        result=None if header.result is None else hand.raw("result", header.result.encode()).decode(),
        detail=None if header.detail is None else detail_passed(header.detail, hand),
    )


def end_passed(end: End, hand: Hand) -> End:
    """The report of a task's end, with its payloads as the hand made them."""
    place = f"end/{end.action}/{end.direction}/{end.attempt}"
    value = end.value if end.value == NULL else e.Raw(hand.raw(f"{place}/value", bytes(end.value)))
    error = end.error
    if error is not None:
        message = hand.text(f"{place}/message", error.message) if error.message else ""
        details = error.details
        if details != NULL:
            details = e.Raw(hand.raw(f"{place}/details", bytes(details)))
        error = msgspec.structs.replace(error, message=message, details=details)
    return msgspec.structs.replace(end, value=value, error=error)


def message_passed(message: Message, hand: Hand) -> Message:
    """The message (an event, or the report of a task). Raises `CorruptJournal`."""
    if not is_report(message.key):
        return msgspec.structs.replace(message, event=event_passed(message.event, hand))
    try:
        end = decode_end(message.event)
    except msgspec.MsgspecError as error:
        raise CorruptJournal(f"a report of a queue cannot be read: {error}") from error
    return msgspec.structs.replace(message, event=encode_end(end_passed(end, hand)))


def opened_message(message: Message, hand: Opening) -> Message:
    """The message, open; one that is damaged stays as it is (its reader will say so)."""
    if SIGN not in message.event:
        return message
    try:
        return message_passed(message, hand)
    except CorruptJournal:
        return message


class _Looking:
    """A hand that only looks whether there are envelopes."""

    found = False

    def raw(self, place: str, data: bytes) -> bytes:
        """Look."""
        try:
            enclosed = envelope.of_raw(data)
            self.found |= bool(enclosed) and bool(envelope.taken_apart(enclosed or b"").flags)
        except envelope.Refused:
            return data
        return data

    def text(self, place: str, text: str) -> str:
        """Where texts are in envelopes, payloads are."""
        return text


def has_envelopes(rows: Sequence[Row], inbox: Sequence[Message]) -> bool:
    """Is any payload in an envelope that is still closed?"""
    looking = _Looking()
    try:
        for message in inbox:
            if SIGN in message.event:
                message_passed(message, looking)
        for row in rows:
            if SIGN in row.events:
                events_passed(row.events, looking)
            if SIGN in row.commands:
                commands_passed(row.commands, looking)
    except CorruptJournal:  # whoever reads it for its content will say so
        return looking.found
    return looking.found
