"""PE and ELF programmes as lief reads them: the only importer of lief. It parses hostile bytes in native code, so it
runs in the triage process alone."""

from __future__ import annotations

from itertools import islice
from typing import Any

import lief

from services.agents.toolkit.samples.facts import entropy

_SECTIONS = 64
_IMPORTS = 4000
_NAME = 64
#: Bytes of a section whose entropy is taken.
_SECTION_BYTES = 4 * 1024 * 1024

lief.logging.disable()


def programme(data: bytes) -> dict[str, Any] | None:
    """The structure of a PE or ELF file; None for anything else. Raises ValueError for one that can't be read."""
    if data.startswith(b"MZ"):
        parsed = lief.PE.parse(data)
        if parsed is None:
            raise ValueError("no PE")
        return _pe(parsed, len(data))
    if data.startswith(b"\x7fELF"):
        elf = lief.ELF.parse(data)
        if elf is None:
            raise ValueError("no ELF")
        return _elf(elf)
    return None


def _pe(parsed: lief.PE.Binary, size: int) -> dict[str, Any]:
    header, optional = parsed.header, parsed.optional_header
    flags = lief.PE.Section.CHARACTERISTICS
    imports = [
        f"{_text(library.name).lower()}!{_text(entry.name)}"
        for library in parsed.imports
        for entry in library.entries
        if not entry.is_ordinal
    ]
    clr = parsed.data_directory(lief.PE.DataDirectory.TYPES.CLR_RUNTIME_HEADER)
    return {
        "format": "pe",
        "machine": _named(header.machine),
        "bits": 64 if optional.magic == lief.PE.PE_TYPE.PE32_PLUS else 32,
        "library": header.has_characteristic(lief.PE.Header.CHARACTERISTICS.DLL),
        "entry_point": optional.addressof_entrypoint,
        "entry_section": _section_at(parsed, optional.addressof_entrypoint),
        "compiled": header.time_date_stamps,
        "imphash": lief.PE.get_imphash(parsed, lief.PE.IMPHASH_MODE.PEFILE) if imports else "",
        "imports": imports[:_IMPORTS],
        "sections": [
            _section(
                section,
                writable=section.has_characteristic(flags.MEM_WRITE),
                executable=section.has_characteristic(flags.MEM_EXECUTE),
            )
            for section in islice(parsed.sections, _SECTIONS)
        ],
        "section_count": len(parsed.sections),
        "overlay": max(0, size - parsed.overlay_offset) if parsed.overlay_offset else 0,
        "managed": clr is not None and clr.size > 0,
        "signed": parsed.has_signatures,
        # By the certificates in the file itself: no trust store is asked.
        "signature": _verified(parsed),
    }


def _verified(parsed: lief.PE.Binary) -> str:
    if not parsed.has_signatures:
        return "none"
    return "intact" if parsed.verify_signature() == lief.PE.Signature.VERIFICATION_FLAGS.OK else "broken"


def _section_at(parsed: lief.PE.Binary, address: int) -> str:
    if not address:
        return ""
    section = parsed.section_from_rva(address)
    return "" if section is None else _text(section.name)


def _elf(parsed: lief.ELF.Binary) -> dict[str, Any]:
    flags = lief.ELF.Section.FLAGS
    imports = [_text(symbol.name) for symbol in islice(parsed.imported_functions, _IMPORTS)]
    return {
        "format": "elf",
        "machine": _named(parsed.header.machine_type),
        "bits": 64 if parsed.header.identity_class == lief.ELF.Header.CLASS.ELF64 else 32,
        "library": not parsed.has_interpreter and parsed.header.file_type == lief.ELF.Header.FILE_TYPE.DYN,
        "entry_point": parsed.header.entrypoint,
        "linked": "dynamic" if parsed.has_interpreter else "static",
        "stripped": len(parsed.symtab_symbols) == 0,
        "imports": imports,
        "sections": [
            _section(section, writable=section.has(flags.WRITE), executable=section.has(flags.EXECINSTR))
            for section in islice(parsed.sections, _SECTIONS)
        ],
        "section_count": len(parsed.sections),
        "writable_code": any(
            segment.has(lief.ELF.Segment.FLAGS.W) and segment.has(lief.ELF.Segment.FLAGS.X)
            for segment in parsed.segments
        ),
    }


def _section(section: Any, *, writable: bool, executable: bool) -> dict[str, Any]:
    content = bytes(section.content[:_SECTION_BYTES])
    return {
        "name": _text(section.name),
        "size": section.size,
        "virtual_size": getattr(section, "virtual_size", section.size),
        "entropy": entropy(content),
        "writable": writable,
        "executable": executable,
    }


def _named(value: Any) -> str:
    """The name of a constant; lief gives a bare number where a header holds one that means nothing."""
    return str(getattr(value, "name", value)).lower()


def _text(name: str | bytes) -> str:
    text = name.decode("latin-1") if isinstance(name, bytes) else name
    return text[:_NAME]
