"""Reads a packed model with numpy alone, from docs/format.md alone: `read_plm.py MODEL.plm OUT_DIR`.

Writes every matrix and bias, dequantised, as raw little-endian f32 `OUT_DIR/NAME.f32`, row-major, and the
words, one a line, as `OUT_DIR/words.txt`."""
import json
import pathlib
import sys
import zlib

import numpy as np

DTYPES = {"F32": "<f4", "F16": "<f2", "I8": "i1", "U8": "u1", "U32": "<u4"}


def container(file):  # section 1
    size = 8 + int.from_bytes(file[:8], "little")
    header = json.loads(file[8:size])
    metadata = header.pop("__metadata__")
    assert metadata["format"] == "pocketlm" and metadata["format_version"] == "1" and size % 64 == 0
    arrays, at = {}, 0
    for name, array in sorted(header.items(), key=lambda entry: entry[1]["data_offsets"]):
        begin, end = array["data_offsets"]
        assert begin == at and (begin % 64 == 0 or name.startswith("~pad.")), name
        values = np.frombuffer(file[size + begin:size + end], DTYPES[array["dtype"]])
        arrays[name], at = values.reshape(array["shape"]), end
    assert size + at == len(file)
    return metadata, arrays


def matrix(description, arrays):  # sections 4 and 5
    assert (description["structure"], description["sparsity"]) == ("dense", "none")
    rows, columns = description["rows"], description["columns"]
    weights, *scales = [arrays[name] for name in description["arrays"]]
    if description["precision"] in ("f32", "f16"):
        return weights.transpose(0, 2, 1).reshape(-1, columns)[:rows].astype("<f4")
    if description["precision"] == "int8":
        whole = weights.transpose(0, 2, 1, 3).reshape(len(weights) * 16, -1).astype("<f4") - 128
        return whole[:rows, :columns] * scales[0][:rows, None]
    whole = levels(description["precision"], weights, *scales[1:])[:, :columns]
    scale = scales[0].transpose(0, 2, 1).reshape(len(whole), -1).astype("<f4")
    return (whole * scale.repeat(description["group"], 1)[:, :columns])[:rows]


def levels(precision, lines, book=None):  # codes to levels, panels to rows
    if precision in ("int4", "codebook"):
        codes = np.stack([lines & 15, lines >> 4], 3)  # panel, line, row, quad, column
        codes = (codes if book is None else book[codes]).astype("<f4") - (8 if book is None else 0)
    elif precision == "int3":
        lines = lines.reshape(len(lines), -1, 3, 16, 4)  # panel, block, line, row, column
        third = [lines[:, :, 2] >> (2 * quad + 2 + line) % 8 & 1 for line in (0, 1) for quad in range(4)]
        low = [lines[:, :, line] >> 2 * quad & 3 for line in (0, 1) for quad in range(4)]
        codes = np.stack([a + 4 * b for a, b in zip(low, third)], 3).astype("<f4") - 4
    else:
        codes = np.stack([lines >> shift & 3 for shift in (0, 2, 4, 6)], 3).astype("<f4")
        codes = 2 * codes - 3 if precision == "int2" else codes - 1
    return codes.transpose(0, 2, 1, 3, 4).reshape(len(lines) * 16, -1)


def words(vocabulary, arrays):  # section 6
    text, blocks, at, word = arrays[vocabulary["text"]].tobytes(), arrays[vocabulary["blocks"]], 0, b""
    for index in range(vocabulary["types"]):
        assert index % 32 or blocks[index // 32] == at
        lengths, at = [text[at] >> 4, text[at] & 15], at + 1
        for which in (0, 1):
            if lengths[which] == 15:
                lengths[which], at = 15 + (text[at] & 127), at + 1
                if text[at - 1] > 127:
                    lengths[which], at = lengths[which] + (text[at] << 7), at + 1
        word, at = word[:lengths[0]] + text[at:at + lengths[1]], at + lengths[1]
        yield word
    assert at == len(text)


def main(path, out):
    file, out = pathlib.Path(path).read_bytes(), pathlib.Path(out)
    metadata, arrays = container(file)
    stored = metadata["checksum"].encode()  # section 7
    assert stored == b"crc32:%08x" % zlib.crc32(file.replace(stored, b"crc32:00000000", 1))
    for description in json.loads(metadata["matrices"]):
        (out / (description["name"] + ".f32")).write_bytes(matrix(description, arrays).tobytes())
    for name in (name for name in arrays if name.endswith(".bias")):
        (out / (name + ".f32")).write_bytes(arrays[name].tobytes())
    (out / "words.txt").write_bytes(b"\n".join(words(json.loads(metadata["vocabulary"]), arrays)))


if __name__ == "__main__":
    main(*sys.argv[1:])
