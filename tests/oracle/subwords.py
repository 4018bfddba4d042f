"""Tokenizers of subwords by programs that we did not write: the Python packages `tokenizers` and `sentencepiece`.

`subwords.py fixtures` writes tests/oracle/fixtures/subwords: small tokenizers, a text in seven languages and five scripts
with emoji and random characters, and the ids that each tokenizer gives for each of its lines.

`subwords.py compare ENCODE POCKETLM TEXT...` compares ids and speed on large texts: ENCODE is the example `encode` of the
crate pocketlm, POCKETLM the command. It trains tokenizers on the first text, packs models of them, lets ENCODE cut the
texts and generated ones, and writes a row for each into results/subwords.json."""
import io
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import time
import unicodedata

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "benches"))
import measure  # noqa: E402

import sentencepiece
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent / "fixtures" / "subwords"

# Article 1 of the Universal Declaration of Human Rights, and a sentence of everyday punctuation.
SAMPLES = [
    "All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience and "
    "should act towards one another in a spirit of brotherhood.",
    "\"We'll see,\" she said; 'don't you think it's 3,000.50 % more than they've paid in 2024?'  I'd say so...",
    "Minden emberi lény szabadon születik és egyenlő méltósága és joga van. Az emberek, ésszel és lelkiismerettel bírván, "
    "egymással szemben testvéri szellemben kell hogy viseltessenek.",
    "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью и должны "
    "поступать в отношении друг друга в духе братства.",
    "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. وقد وهبوا عقلاً وضميرًا وعليهم أن يعامل بعضهم بعضًا بروح الإخاء.",
    "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
    "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है। उन्हें बुद्धि और अन्तरात्मा की देन प्राप्त है।",
    "ＦＵＬＬ　ｗｉｄｔｈ ｶﾀｶﾅ ﬁne ½ №5 ①②③ ™ Å e\u0301 \u00a0 \u200b \u2028 x\ty  z \u2581a▁▁b",
    "😀👍🏽👩‍👩‍👧‍👦🇭🇺 ok🙂ok ❤️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
]
# Blocks that random characters come from.
BLOCKS = [(0x20, 0x7e), (0xa0, 0x24f), (0x300, 0x36f), (0x370, 0x5ff), (0x600, 0x6ff), (0x900, 0x97f), (0xe00, 0xe7f),
          (0x2000, 0x23ff), (0x3000, 0x30ff), (0x4e00, 0x9fff), (0xac00, 0xd7a3), (0xf900, 0xfaff), (0xfe30, 0xffef),
          (0x1d400, 0x1d7ff), (0x1f300, 0x1f6ff)]
# Not the symbol that pocketlm takes for a line's end, <sos/eos>: written out it is text there.
SPECIAL = ["<s>", "</s>", "<blk>", "<unk>", "<0x41>", "<eos>"]


def characters(source, count):
    """Random characters that Unicode 14 knows; from now and then a space or a special piece written out."""
    out = []
    while len(out) < count:
        if source.random() < 0.15:
            out.append(source.choice([" ", " ", "  ", "\t", *SPECIAL]))
            continue
        char = chr(source.randint(*source.choice(BLOCKS)))
        if unicodedata.category(char) not in ("Cn", "Cs", "Co"):
            out.append(char)
    return "".join(out).replace("\n", " ").replace("\r", " ")


def sentences(source, count):
    """Words of the samples in random order."""
    words = [sample.split(" ") for sample in SAMPLES]
    return " ".join(source.choice(words[source.randrange(len(words))]) for _ in range(count))


def lines(seed, count):
    source = random.Random(seed)
    drawn = [characters(source, source.randint(1, 40)) if source.random() < 0.4 else sentences(source, 12) for _ in range(count)]
    bytes_ = ["".join(map(chr, (source.randrange(256) for _ in range(40)))).replace("\n", "").replace("\r", "") for _ in range(10)]
    return SAMPLES + ["", " ", "   ", "a", "字", "a" * 300, " a" * 50, "▁", "'s 't 're", " leading", "trailing  "] + bytes_ + drawn


def byte_level(text, size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(text, trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        special_tokens=[AddedToken("<|endoftext|>", special=True)]))
    return tokenizer


def piece_model(text, **options):
    """Trains a SentencePiece model; its bytes."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for line in text if line.strip()]), model_writer=model, minloglevel=2,
        max_sentence_length=100000, **options)
    return model.getvalue()


ICEFALL = dict(model_type="bpe", user_defined_symbols=["<blk>", "<sos/eos>"], unk_id=2, bos_id=-1, eos_id=-1)


def piece_models(text, size):
    """All kinds of SentencePiece models, by name."""
    own = dict(vocab_size=size, character_coverage=0.995, hard_vocab_limit=False)
    return {
        "unigram": piece_model(text, model_type="unigram", **own),
        "unigram-bytes": piece_model(text, model_type="unigram", byte_fallback=True, normalization_rule_name="identity",
                                     user_defined_symbols=["<blk>", "ok"], **(own | {"vocab_size": size + 256})),
        "bpe": piece_model(text, normalization_rule_name="identity", **(own | ICEFALL | {"hard_vocab_limit": True})),
        "bpe-bytes": piece_model(text, model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
                                 remove_extra_whitespaces=False, add_dummy_prefix=False,
                                 vocab_size=size + 256, character_coverage=0.99),
    }


def encoder(name, file):
    """A function from a line to ids."""
    if name == "byte-level":
        tokenizer = Tokenizer.from_str(file.decode())
        tokenizer.encode_special_tokens = True
        return lambda line: tokenizer.encode(line, add_special_tokens=False).ids
    processor = sentencepiece.SentencePieceProcessor(model_proto=file)
    return lambda line: processor.encode(line)


def tokenizers_of(text, size):
    files = {"byte-level": byte_level(text, size).to_str().encode(), **piece_models(text, size)}
    return {name + (".json" if name == "byte-level" else ".model"): file for name, file in files.items()}


def fixtures():
    HERE.mkdir(parents=True, exist_ok=True)
    source = random.Random(1)
    text = [sentences(source, 12) for _ in range(400)]
    all_lines = lines(2, 150)
    # No line feed, and none of the other line ends that Python knows, parts these lines but the one that ends them.
    (HERE / "text.txt").write_bytes("".join(line + "\n" for line in all_lines).encode())
    for name, file in tokenizers_of(text, 700).items():
        encode = encoder(name.split(".")[0], file)
        (HERE / name).write_bytes(file)
        ids = "".join(" ".join(map(str, encode(line))) + "\n" for line in all_lines)
        (HERE / f"{name}.ids").write_text(ids)


def names(name, file):
    """The names of a tokenizer's pieces by id, as pocketlm's vocab.txt has them but for <eos> and <unk>."""
    if name.startswith("byte-level"):
        tokenizer = Tokenizer.from_str(file.decode())
        return [tokenizer.id_to_token(id) for id in range(tokenizer.get_vocab_size())]
    processor = sentencepiece.SentencePieceProcessor(model_proto=file)
    return [processor.id_to_piece(id) for id in range(processor.get_piece_size())]


def compare(encode_program, pocketlm, texts):
    folder = pathlib.Path(tempfile.mkdtemp())
    source = random.Random(3)
    generated = folder / "generated.txt"
    with generated.open("w", encoding="utf-8", newline="\n") as file:
        size = 0
        while size < 5_500_000:
            line = characters(source, 60) if source.random() < 0.3 else sentences(source, 30)
            size += len(line.encode()) + 1
            file.write(line + "\n")
    first = pathlib.Path(texts[0]).read_text(encoding="utf-8").split("\n")[:30000]
    training = first + generated.read_text(encoding="utf-8").split("\n")[:5000]
    (folder / "small.txt").write_text("\n".join(first[:2000]) + "\n", encoding="utf-8")
    rows = []
    for name, file in tokenizers_of(training, 4096).items():
        path = folder / name
        path.write_bytes(file)
        run = f"--tokenizer {path} --out {folder / name}.run --hidden 4 --set embedding=4 --epochs 1 --no-test --json"
        subprocess.run([pocketlm, "train", "--data", folder / "small.txt", *run.split()], check=True, capture_output=True)
        subprocess.run([pocketlm, "pack", f"{path}.run", "-o", f"{path}.plm"], check=True, capture_output=True)
        vocabulary = (pathlib.Path(f"{path}.run") / "vocab.txt").read_text(encoding="utf-8").split("\n")
        theirs, encode = names(name, file), encoder(name.split(".")[0], file)
        assert all(a == b or b in ("<eos>", "<unk>") for a, b in zip(theirs, vocabulary))
        for text in [*texts, generated]:
            own = folder / "ids"
            report = subprocess.run([encode_program, f"{path}.plm", text, own], check=True, capture_output=True, text=True)
            rank = {int(i): n for n, i in enumerate(order(vocabulary, name, file))}
            all_lines = pathlib.Path(text).read_bytes().decode().split("\n")
            start = time.perf_counter()
            ids = [encode(line) for line in all_lines]
            seconds = time.perf_counter() - start
            data, at, differ = own.read_bytes(), 0, 0
            for line in ids:
                count, = struct.unpack_from("<I", data, at)
                mine = struct.unpack_from(f"<{count}I", data, at + 4)
                at += 4 + 4 * count
                differ += list(mine) != [rank[id] for id in line]
            size = pathlib.Path(text).stat().st_size / 1e6
            ours = json.loads(report.stdout)["mb_per_second"]
            own_name = "generated" if text == generated else pathlib.Path(text).stem
            rows.append({"tokenizer": name.split(".")[0], "text": own_name, "bytes": int(size * 1e6), "lines": len(all_lines),
                         "lines_that_differ": differ, "mb_per_second": ours, "their_mb_per_second": size / seconds})
            print(rows[-1], flush=True)
    measure.write_json(measure.ROOT / "results/subwords.json",
                       measure.provenance("tokenizers", "sentencepiece", program=pathlib.Path(pocketlm)) | {"rows": rows})


def order(vocabulary, name, file):
    """The ids of a tokenizer in the order of the packed file: that of the pieces' bytes."""
    if name.startswith("byte-level"):
        shown = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b]
        hidden = [b for b in range(256) if b not in shown]
        byte = {chr(b): b for b in shown} | {chr(256 + n): b for n, b in enumerate(hidden)}
        special = {token.content for token in Tokenizer.from_str(file.decode()).get_added_tokens_decoder().values()} | {"<eos>"}
        pieces = [word.encode() if word in special else bytes(byte[c] for c in word) for word in vocabulary[:-1]]
    else:
        processor = sentencepiece.SentencePieceProcessor(model_proto=file)
        control = {id for id in range(processor.get_piece_size()) if processor.is_control(id) or processor.is_unknown(id)}
        pieces = [word.encode() if id in control else word.replace("▁", " ").encode() for id, word in enumerate(vocabulary[:-1])]
    return sorted(range(len(pieces)), key=lambda id: pieces[id])


if __name__ == "__main__":
    fixtures() if sys.argv[1] == "fixtures" else compare(sys.argv[2], sys.argv[3], sys.argv[4:])
