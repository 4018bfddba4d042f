"""Reads a packed model with numpy alone, from docs/format.md alone: `read_plm.py MODEL.plm OUT_DIR`.

Writes every matrix and bias, dequantised, as raw little-endian f32 `OUT_DIR/NAME.f32`, row-major, and the
words, one a line, as `OUT_DIR/words.txt`."""
import json
import pathlib
import sys
import zlib

import numpy as np

DTYPES = {"F32": "<f4", "F16": "<f2", "I8": "i1", "U8": "u1", "U16": "<u2", "U32": "<u4"}


def container(file):  # section 1
    size = 8 + int.from_bytes(file[:8], "little")
    header = json.loads(file[8:size])
    metadata = header.pop("__metadata__")
    assert metadata["format"] == "pocketlm" and metadata["format_version"] in ("1", "2") and size % 64 == 0
    arrays, at = {}, 0
    for name, array in sorted(header.items(), key=lambda entry: entry[1]["data_offsets"]):
        begin, end = array["data_offsets"]
        if name.startswith("~pad."):
            assert begin == at and begin % 64 and end == -(-begin // 64) * 64 and array["dtype"] == "U8", name
        else:
            assert begin == at and begin % 64 == 0, name
        values = np.frombuffer(file[size + begin:size + end], DTYPES[array["dtype"]])
        arrays[name], at = values.reshape(array["shape"]), end
    assert size + at == len(file)
    for coding in json.loads(metadata["coded"]) if metadata["format_version"] == "2" and "coded" in metadata else []:
        arrays[coding["name"]] = coded(coding, arrays[coding["name"]].tobytes())
    return metadata, arrays


def coded(coding, data):  # section 14
    assert coding["coding"] == "rans"
    shape, dtype = coding["shape"], np.dtype(DTYPES[coding["dtype"]])
    count = int(np.prod(shape)) * dtype.itemsize
    assert len(data) < count <= 64 * len(data)
    count = count // 192 * 256 if coding["symbols"] == "int3" else count
    period = coding.get("period", 1)
    cuts, symbols, at = [0, *coding.get("cuts", []), period], np.zeros((count // period, period), "u1"), 0
    for begin, end in zip(cuts, cuts[1:]):
        plane, at = rans(data, at, count // period * (end - begin))
        symbols[:, begin:end] = np.reshape(plane, (-1, end - begin))
    assert at == len(data)
    if coding["symbols"] == "int3":
        lines, places = symbols.reshape(-1, 4, 64), ((2, 4), (6, 0), (3, 5), (7, 1))
        third = sum((lines[:, k] >> (4 + b) & 1) << places[k][b] for k in range(4) for b in (0, 1))
        low = [lines[:, k] & 15 | lines[:, k + 1] << 4 for k in (0, 2)]
        symbols = np.stack([*low, third], 1).astype("u1")
    return np.frombuffer(symbols.tobytes(), dtype).reshape(shape)


def rans(data, at, count):  # section 14: a plane, and where it ends
    kind, at = data[at], at + 1
    if kind == 0:
        return np.frombuffer(data[at:at + count], "u1"), at + count
    slots, symbol = [], 0
    while len(slots) < 4096:
        frequency, at = data[at], at + 1
        if frequency > 127:
            frequency, at = (frequency & 127) + (data[at] << 7), at + 1
        slots += [(symbol, frequency, place) for place in range(frequency)]
        symbol += 1
        if frequency == 0:
            symbol, at = symbol + data[at], at + 1
    assert kind == 1 and len(slots) == 4096 and symbol <= 256
    states, at, out = np.frombuffer(data[at:at + 32], "<u4").tolist(), at + 32, bytearray(count)
    for i in range(count):
        state = states[i % 8]
        out[i], frequency, place = slots[state % 4096]
        state = frequency * (state >> 12) + place
        if state < 1 << 16:
            state, at = state << 16 | data[at] | data[at + 1] << 8, at + 2
        states[i % 8] = state
    assert states == [1 << 16] * 8
    return np.frombuffer(bytes(out), "u1"), at


def dense(description, weights, *scales):  # section 5
    rows, columns = description["rows"], description["columns"]
    if description["precision"] in ("f32", "f16"):
        return weights.transpose(0, 2, 1).reshape(-1, columns)[:rows].astype("<f4")
    if description["precision"].startswith("binary"):
        planes = [dense({**description, "precision": "plane"}, *plane) for plane in zip(weights, *scales)]
        for plane in planes[1:]:
            planes[0] = planes[0] + plane
        return planes[0]
    if description["precision"].startswith("product"):
        return product_quantised(description, weights, scales[0].reshape(-1))
    if description["precision"] == "int8":
        whole = weights.transpose(0, 2, 1, 3).reshape(len(weights) * 16, -1).astype("<f4") - 128
        return whole[:rows, :columns] * scales[0][:rows, None]
    whole = levels(description["precision"], weights, *scales[1:])[:, :columns]
    scale = scales[0].transpose(0, 2, 1).reshape(len(whole), -1).astype("<f4")
    return (whole * scale.repeat(description["group"], 1)[:, :columns])[:rows]


def product_quantised(description, codes, centroids):  # codes [panels, parts, 16]
    rows, columns, width = description["rows"], description["columns"], int(description["precision"][-1])
    out = np.zeros((len(codes) * 16, columns), "<f4")
    for part, first in enumerate(range(0, columns, width)):
        own = min(width, columns - first)
        vectors = centroids[first * 256:][:own * 256].reshape(16, own, 16).transpose(0, 2, 1).reshape(256, own)
        out[:, first:first + own] = vectors[codes[:, part].reshape(-1)]
    return out[:rows]


def levels(precision, lines, book=None):  # codes to levels, panels to rows
    if precision in ("int4", "codebook"):
        codes = np.stack([lines & 15, lines >> 4], 3)  # panel, line, row, quad, column
        codes = (codes if book is None else book[codes]).astype("<f4") - (8 if book is None else 0)
    elif precision == "int5":
        lines = lines.reshape(len(lines), -1, 5, 16, 4)  # panel, block, line, row, column
        high = [lines[:, :, quad // 2] >> quad % 2 * 4 & 15 for quad in range(8)]
        codes = np.stack([2 * a + (lines[:, :, 4] >> quad & 1) for quad, a in enumerate(high)], 3).astype("<f4") - 16
    elif precision == "int3":
        lines = lines.reshape(len(lines), -1, 3, 16, 4)  # panel, block, line, row, column
        third = [lines[:, :, 2] >> (2 * quad + 2 + line) % 8 & 1 for line in (0, 1) for quad in range(4)]
        low = [lines[:, :, line] >> 2 * quad & 3 for line in (0, 1) for quad in range(4)]
        codes = np.stack([a + 4 * b for a, b in zip(low, third)], 3).astype("<f4") - 4
    elif precision == "plane":
        codes = 2 * np.stack([lines >> shift & 1 for shift in range(8)], 3).astype("<f4") - 1
    else:
        codes = np.stack([lines >> shift & 3 for shift in (0, 2, 4, 6)], 3).astype("<f4")
        codes = 2 * codes - 3 if precision == "int2" else codes - 1
    return codes.transpose(0, 2, 1, 3, 4).reshape(len(lines) * 16, -1)


def unstructured(description, values, *rest):  # section 6
    (*scales, offsets, positions), width = rest, description["columns"]
    out = np.zeros((description["rows"], width), "<f4")
    for row, (begin, end) in enumerate(zip(offsets, offsets[1:])):
        if description["positions"] == "bitmap":
            at = np.flatnonzero(np.unpackbits(positions[row], bitorder="little"))
        else:
            at = np.cumsum(positions[begin:end].astype(int) + 1) - 1
        out[row, at] = values[begin:end].astype("<f4") * (scales[0][row] if scales else np.float32(1))
    return out


def panels(description, weights, *rest):  # section 6
    (*scales, offsets, columns), rows = rest, description["rows"]
    out, group = np.zeros((-(-rows // 16) * 16, description["columns"]), "<f4"), 0
    for panel, (begin, end) in enumerate(zip(map(int, offsets), map(int, offsets[1:]))):
        if begin == end:
            continue
        part, count = {**description, "rows": 16, "columns": end - begin}, len(set(columns[begin:end]))
        step, scale = {"int8": 4, "int4": 8}.get(description["precision"], 1), []
        if description["precision"] == "int8":
            scale = [scales[0][panel * 16:][:16]]
        if description["precision"] == "int4":
            groups = -(-(end - begin) // description["group"])
            scale, group = [scales[0][group:][:groups][None]], group + groups
        compact = dense(part, weights[begin // step:end // step][None], *scale)
        out[panel * 16:][:16, columns[begin:begin + count]] = compact[:, :count]
    return out[:rows]


def low_rank(description, arrays):  # section 7
    left, right = [matrix(factor, arrays) for factor in description["factors"]]
    out = np.zeros((description["rows"], description["columns"]), "<f4")
    for k in range(len(right)):
        out += left[:, k:k + 1] * right[k]
    return out


def diagonal_low_rank(description, arrays):  # section 7
    left, right, diagonal = description["factors"]
    out, rows = low_rank({**description, "factors": [left, right]}, arrays), np.arange(description["rows"])
    places = arrays[description["order"]] if "order" in description else rows
    out[rows, places % description["columns"]] += matrix(diagonal, arrays)[:, 0]
    return out


def block_low_rank(description, arrays):  # section 7
    factors, columns = description["factors"], description["columns"]
    pairs = [{"rows": left["rows"], "columns": columns, "factors": [left, right]}
             for left, right in zip(factors[::2], factors[1::2])]
    whole = np.concatenate([low_rank(pair, arrays) for pair in pairs])
    return whole[arrays[description["order"]]] if "order" in description else whole


def tensor_train(description, arrays):  # section 7
    done = np.ones((1, 1, 1), "<f4")  # rows, columns, rank
    for m, n, factor in zip(description["row_modes"], description["column_modes"], description["factors"]):
        rows, columns, rank = done.shape
        core = matrix(factor, arrays).reshape(m, -1, rank, n).transpose(2, 0, 3, 1)  # rank, m, n, next rank
        terms = [done[:, None, :, None, a, None] * core[a][None, :, None] for a in range(rank)]
        for term in terms[1:]:
            terms[0] = terms[0] + term
        done = terms[0].reshape(rows * m, columns * n, -1)
    order = arrays[description["order"]] if "order" in description else np.arange(description["rows"])
    return np.ascontiguousarray(done[order, :description["columns"], 0])


def turned(vectors, block, sign=1):  # [..., b] to [..., b, b]: element r, c is element r - c, or sign * r - c + b
    r, c = np.indices((block, block))
    return vectors[..., (r - c) % block] * np.where(r < c, np.float32(sign), np.float32(1))


def in_order(blocks, description, arrays):  # [rows of blocks, columns of blocks, b, b] to the matrix
    high, wide, block, _ = blocks.shape
    whole = blocks.transpose(0, 2, 1, 3).reshape(high * block, wide * block)
    order = arrays[description["order"]] if "order" in description else np.arange(description["rows"])
    return np.ascontiguousarray(whole[order, :description["columns"]])


def block_circulant(description, arrays):  # section 7
    vectors, block = matrix(description["factors"][0], arrays), description["block"]
    return in_order(turned(vectors.reshape(len(vectors), -1, block), block), description, arrays)


def toeplitz_like(description, arrays):  # section 7
    block, rank, wide = description["block"], description["rank"], -(-description["columns"] // description["block"])
    g, h = [matrix(factor, arrays).reshape(-1, wide, rank, block) for factor in description["factors"]]
    g, h = turned(g, block), turned(h, block, -1)
    out = np.zeros((*g.shape[:2], block, block), "<f4")
    for k in range(rank):
        for c in range(block):
            out += g[:, :, k, :, c, None] * h[:, :, k, c, None, :]
    return in_order(out, description, arrays)


def unitary(description, arrays):  # section 7
    phases, reflections = [matrix(factor, arrays).astype("f8") for factor in description["factors"]]
    n = phases.shape[1]
    whole, j = np.eye(n, dtype="c16"), np.arange(n)
    for k in (0, 1):  # from the right, but for the last diagonal
        whole = np.exp(1j * phases[k])[:, None] * whole
        whole = [np.fft.fft, np.fft.ifft][k](whole, axis=0, norm="ortho")
        v = reflections[2 * k] + 1j * reflections[2 * k + 1]
        if v.any():
            whole = whole - 2 * np.outer(v, v.conj() @ whole) / (abs(v) ** 2).sum()
        whole = whole[j * (j + 1) // 2 % n] if k == 0 else whole
    whole = np.exp(1j * phases[2])[:, None] * whole
    real = np.block([[whole.real, -whole.imag], [whole.imag, whole.real]]).astype("<f4")
    return np.ascontiguousarray(real[arrays[description["order"]]] if "order" in description else real)


def matrix(description, arrays):  # section 4
    if description["structure"] != "dense":
        assert not description["arrays"]
        readers = {"low-rank": low_rank, "tensor-train": tensor_train,
                   "block-circulant": block_circulant, "toeplitz-like": toeplitz_like,
                   "block-low-rank": block_low_rank, "unitary": unitary,
                   "diagonal-low-rank": diagonal_low_rank}
        return readers[description["structure"]](description, arrays)
    leaf = {"none": dense, "unstructured": unstructured, "panels": panels}[description["sparsity"]]
    return leaf(description, *[arrays[name] for name in description["arrays"]])


def expected(configuration):  # section 3: names of matrices and biases
    layers, rounds = range(len(configuration["hidden"])), range(configuration.get("mogrifier", 0))
    matrices, biases = {"embedding"}, {"softmax.bias"}
    for cell in (f"cell.{k}." for k in layers):
        matrices |= {cell + "input", cell + "recurrent", *(f"{cell}mogrifier.{j}" for j in rounds)}
        matrices |= {cell + "projection"} if configuration["cell_projection"] else set()
        biases |= {cell + "bias"} | ({cell + "gain"} if configuration.get("layer_norm") else set())
    matrices |= {"projection"} if configuration["projection"] else set()
    return matrices | (set() if configuration["tied"] else {"softmax"}), biases


def packed(array, count, bits):  # section 13
    bits_ = np.unpackbits(array, bitorder="little")[: count * bits].reshape(count, bits)
    assert not array[-7:].any() and len(array) == -(-count * bits // 8) + 7
    return (bits_.astype("<u4") << np.arange(bits, dtype="<u4")).sum(1, dtype="<u4")


def values(name, count, bits, arrays):  # section 13
    if bits == 32:
        return arrays[name]
    return arrays[name + ".levels"][packed(arrays[name], count, bits)]


def ngrams(orders, types, arrays):  # section 13: tokens, ln p and ln b of the n-grams of each length
    grams, width = np.arange(types, dtype="<u4")[:, None], max(1, (types - 1).bit_length())
    for n, order in enumerate(orders, 1):
        name, count = f"ngram.{n}.", order["ngrams"]
        if n > 1:
            last = packed(arrays[name + "words"], count, width)
            grams = np.concatenate([np.repeat(grams, children, 0), last[:, None]], 1)
        backoffs = n < len(orders) and values(name + "backoffs", count, order.get("backoff_bits", 32), arrays)
        yield grams, values(name + "probabilities", count, order.get("probability_bits", 32), arrays), backoffs
        if n == len(orders):
            return
        if n == 1:
            children = np.diff(arrays["ngram.1.offsets"].astype("<i8"))
            continue
        runs = np.unpackbits(arrays[name + "children"].view("<u1"), bitorder="little")
        zeros = np.flatnonzero(runs == 0)[:count]
        children = np.diff(zeros, prepend=-1) - 1
        begins = np.concatenate([[0], zeros[:-1] + 1])[::64][: -(-count // 64)]
        assert (arrays[name + "children.samples"] == begins).all() and not runs[zeros[-1] :].any()


def words(vocabulary, arrays):  # section 8
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


def subwords(entry, pieces, arrays):  # section 16: what it says of the pieces, a line of text each
    control = [b"control %d" % id for id in entry["control"]]
    if entry["algorithm"] == "byte-level-bpe":
        merges = [[pieces[id] for id in pair] for pair in arrays[entry["merges"]].tolist()]
        assert all(left + right in pieces for left, right in merges)
        return [*control, *(b"merge %s|%s" % (left.hex().encode(), right.hex().encode()) for left, right in merges)]
    assert entry["algorithm"] in ("sentencepiece-bpe", "sentencepiece-unigram")
    charsmap = arrays[entry["charsmap"]].tobytes() if "charsmap" in entry else b""
    flags = [entry[name] for name in ("byte_fallback", "prefix_space", "single_spaces")]
    return [*control, *(b"user %d" % id for id in entry["user"]), b"flags %d %d %d" % tuple(flags),
            b"charsmap %08x" % zlib.crc32(charsmap), *(b"score %08x" % bits for bits in arrays[entry["scores"]].view("<u4"))]


def model(metadata, arrays, types, out):
    if "ngram" in metadata:
        for n, (grams, *numbers) in enumerate(ngrams(json.loads(metadata["ngram"])["orders"], types, arrays), 1):
            for name, array in zip(["words", "probabilities", "backoffs"], [grams[:, -1], *numbers]):
                if array is not False:
                    (out / f"{n}.{name}").write_bytes(array.tobytes())
        assert not metadata.keys() & {"configuration", "matrices"}
    else:
        descriptions = json.loads(metadata["matrices"])
        matrices, biases = expected(json.loads(metadata["configuration"]))
        assert sorted(description["name"] for description in descriptions) == sorted(matrices)
        for description in descriptions:
            (out / (description["name"] + ".f32")).write_bytes(matrix(description, arrays).tobytes())
        for name in biases:
            (out / (name + ".f32")).write_bytes(arrays[name].tobytes())


def main(path, out):
    file, out = pathlib.Path(path).read_bytes(), pathlib.Path(out)
    metadata, arrays = container(file)
    stored = metadata["checksum"].encode()  # section 9
    assert stored == b"crc32:%08x" % zlib.crc32(file.replace(stored, b"crc32:00000000", 1))
    types = json.loads(metadata["vocabulary"])["types"]
    if "mixture" in metadata:
        assert not metadata.keys() & {"configuration", "matrices", "ngram"}
        weights = json.loads(metadata["mixture"])
        assert 2 <= len(weights) <= 8 and abs(sum(weights) - 1) < 1e-6
        for m in range(len(weights)):
            own = [{key[2:]: value for key, value in all.items() if key.startswith(f"{m}.")} for all in (metadata, arrays)]
            (out / str(m)).mkdir(exist_ok=True)
            model(*own, types, out / str(m))
    else:
        model(metadata, arrays, types, out)
    pieces = list(words(json.loads(metadata["vocabulary"]), arrays))
    (out / "words.txt").write_bytes(b"\n".join(pieces))
    if "subwords" in metadata:
        (out / "subwords.txt").write_bytes(b"\n".join(subwords(json.loads(metadata["subwords"]), pieces, arrays)))


if __name__ == "__main__":
    main(*sys.argv[1:])
