# SPDX-License-Identifier: Apache-2.0
"""A second reader of `.rpk` version 1, written from docs/spec/rpk-v1.md; it shares no code with repropack.

`independent_reader.py FILE [--signer SHA256:…]… [--expect sha256:…]` prints `OK sha256:DIGEST`, or a code and the
requirements that are broken, and ends with 0 or 1. It is short rather than fast, and holds the bundle in memory."""

# fmt: off
import base64, hashlib, itertools, json, os, re, struct, subprocess, sys, tempfile
from pathlib import Path
from typing import Any
from unicodedata import category, normalize

import zstandard
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MIB, P = 2**20, 2**255 - 19
SMALL = {0, 1, P - 1, 0x5FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,  # y of the points of order
         0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7}  # 1, 2, 4 and 8 (7.6)
TYPES: dict[str, Any] = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int, "number": (int, float)}
GIT = {"PATH": os.environ["PATH"], **dict.fromkeys(("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "HOME"), "/dev/null")}
class RefusedError(Exception): pass
def need(condition: object, code: int, rules: str, about: object = "") -> None:
    if not condition: raise RefusedError(f"RPK{code} breaks {rules} {str(about)[:99]!a}")
def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:  # section 2: JSON
    if len(dict(pairs)) == len(pairs): return dict(pairs)
    raise ValueError("2.2")
def number(text: str) -> float | int:
    if len(text) > 400 or not abs(value := float(text)) < float("inf"): raise ValueError("2.3")
    return int(text) if re.fullmatch("-?[0-9]+", text) and abs(value) < 2**53 else value
def depth(value: Any) -> int: return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0) if isinstance(value, (dict, list)) else 0
def fits(value: Any, schema: Any, defs: Any) -> bool:  # 2.7, with the keywords that schemas/ uses
    if "$ref" in schema: return fits(value, defs[schema["$ref"].rpartition("/")[2]], defs)
    if "anyOf" in schema or "enum" in schema: return value in schema.get("enum", ()) or any(fits(value, one, defs) for one in schema.get("anyOf", ()))
    kind, known, more = schema["type"], schema.get("properties", {}), schema.get("additionalProperties")
    if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"): return False
    if isinstance(value, list): return len(value) >= schema.get("minItems", 0) and all(fits(v, schema["items"], defs) for v in value)
    if kind == "object": return set(schema["required"] if known else ()) <= value.keys() and all(bool(known.get(k) or more) and fits(v, known.get(k) or more, defs) for k, v in value.items())
    return re.search(schema.get("pattern", ""), value) is not None if kind == "string" else kind in ("boolean", "null") or schema.get("minimum", value) <= value <= schema.get("maximum", value)
def read(data: bytes, code: int, schema: str = "", *, canonical: bool = False) -> Any:
    try:
        if max(data.count(b","), sum(map(data.count, (b"[", b"]", b"{", b"}"))) / 2) > 2**24: raise ValueError("2.5")
        value = json.loads(data.decode(), object_pairs_hook=unique, parse_float=number, parse_int=number, parse_constant=number)
        again = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()  # RFC 8785: no fractions, ASCII names
        if (again != data and canonical) or depth(value) > 64: raise ValueError("2.4 to 2.6")
    except (ValueError, RecursionError) as error: raise RefusedError(f"RPK{code} breaks {error!a:.99}") from error
    if schema:
        document = json.loads((Path(__file__).parents[1] / f"schemas/{schema}.json").read_bytes())
        other = isinstance(value, dict) and type(value.get("version")) is int and value["version"] != 1
        if code == 305 and isinstance(value, dict): need(not re.fullmatch("urn:repropack:release:v(?!1$)[0-9]{1,9}", str(value.get("predicateType"))), 202, "11.1")
        need(fits(value, document, document["$defs"]) or (code == 201 and other and isinstance(value.get("format"), str)), code, "2.7", schema)
        need(not other and (code != 201 or value["format"] == "rpk"), 202, "11.1")
    return value
def seek_table(data: bytes) -> list[tuple[int, int]]:  # section 3
    need(data[:4] == b"\x28\xb5\x2f\xfd", 101, "3.1 3.2")
    need(len(data) >= 13 and data[-4:] == b"\xb1\xea\x92\x8f", 102, "3.7 3.8")
    count, flags = struct.unpack("<IB", data[-9:-4])
    need(flags or count <= 2**22, 109, "10.1")
    need(not flags and 17 + 8 * count <= len(data), 103, "3.7 3.8")
    entries = list(struct.iter_unpack("<II", (table := data[len(data) - 17 - 8 * count :])[8:-9]))
    need(table[:8] == struct.pack("<II", 0x184D2A5E, len(table) - 8) and entries and all(0 < s <= 4 * MIB + 2**14 and 0 < c <= 4 * MIB for s, c in entries) and sum(s for s, _ in entries) + len(table) == len(data), 103, "3.5 3.7 3.8")
    return entries
def decoded(stored: bytes, size: int) -> bytes:
    try: head, at, last, most = zstandard.get_frame_parameters(stored), zstandard.frame_header_size(stored), 0, 0
    except zstandard.ZstdError as error: raise RefusedError(f"RPK104 breaks 3.2 {error}") from error
    need(stored[:4] == b"\x28\xb5\x2f\xfd" and head.content_size == size and stored[4] & 0b111111 == 0b100100, 104, "3.2 to 3.5")
    while not last and at + 3 <= len(stored):
        block = int.from_bytes(stored[at : at + 3], "little")
        last, at, most = block & 1, at + 3 + (1 if block >> 1 & 3 == 1 else block >> 3), max(most, block >> 3)
    need(last and at + 4 == len(stored) and most <= min(size, 2**17), 105, "3.4 3.6")
    try: return zstandard.ZstdDecompressor().decompress(stored)
    except zstandard.ZstdError as error: raise RefusedError(f"RPK105 breaks 3.5 {error}") from error
def cuts(*edges: int) -> list[int]: return [min(4 * MIB, b - at) for a, b in itertools.pairwise(edges) for at in range(a, b, 4 * MIB)]  # 3.9
def ustar(name: bytes, prefix: bytes, size: int, mode: bytes, flag: bytes) -> bytes:  # 4.4
    made = bytearray(struct.pack("100s8s8s8s12s12s8sc100s8s64x8s8s155s12x", name, mode, b"0000000", b"0000000", b"%011o" % size, b"0" * 11, b" " * 8, flag, b"", b"ustar\x0000", b"0000000", b"0000000", prefix))
    return bytes(made[:148] + b"%06o\0 " % sum(made) + made[156:])
def header(path: str, size: int, executable: bool = False) -> bytes:
    name, prefix, records = path.encode(), b"", b""
    slash = name.find(b"/", max(len(name) - 101, 0))
    if path.isascii() and len(name) > 100 and 0 < slash <= 155 and slash + 1 < len(name):  # 4.5
        prefix, name = name[:slash], name[slash + 1 :]
    elif not path.isascii() or len(name) > 100:  # 4.7
        body = f" path={path}\n".encode()
        records = b"%d" % (len(body) + len(str(len(body) + len(str(len(body)))))) + body
        name = path.encode("ascii", "replace")[:100].rstrip(b"/")
    if size >= 8**11: records, size = records + b"%d size=%d\n" % (9 + len(str(size)), size), 0  # 4.6
    first = ustar(b"././@PaxHeader", b"", len(records), b"0000644", b"x") + padded(records) if records else b""
    return first + ustar(name, prefix, size, b"0000755" if executable else b"0000644", b"0")
def padded(content: bytes) -> bytes: return content + bytes(-len(content) % 512)  # 4.2
def git_name(name: str) -> bool:  # 5.10 8.8
    return any(re.fullmatch(r"\.git|git~[0-9]+", normalize("NFKC", "".join(c for c in p if category(c) != "Cf")).casefold().rstrip(". ")) for p in re.split(r"[\\:]", name))
def tree_name(name: str) -> bool: return len(os.fsencode(name)) < 256 and not (git_name(name) or ".." in re.split(r"[\\:]", name) or "Cc" in map(category, name))  # 8.8
def plain(path: str) -> bool: return path.isprintable() and len(path.encode()) <= 1024 and all(part not in ("", ".", "..") and tree_name(part) for part in path.split("/"))  # 6.8
def is_place(path: str) -> bool:  # 6.12; encoding as in 6.7
    rest = re.sub(r"\A\{(project|data:[^}]*)\}/", "", path)
    sizes = [len(part.encode()) + 2 * len(re.findall(r'[%\\:*?"<>|{}\0-\x1f\x7f]', part)) for part in rest.split("/")]
    return rest != path and "\0" not in rest and len(sizes) <= 64 and sum(sizes) + len(sizes) <= 1025 and max(sizes) <= 255 and not {"", ".", "..", ".git"} & set(rest.lower().split("/"))
def bad_path(path: str) -> bool:  # 5.7 to 5.10
    device, kinds = r"(?i)(con|prn|aux|nul|con(in|out)\$|(com|lpt)[0-9¹²³])(\..*)?", "Cc Cf Cs Co Cn Zl Zp"
    return (not 0 < len(path.encode()) <= 1024 or path.count("/") > 63 or normalize("NFC", path) != path or any(category(c) in kinds or c in '\\:*?"<>|{}' for c in path)
            or any(part in ("", ".", "..") or len(part.encode()) > 255 or part[-1] in ". " or git_name(part) or re.fullmatch(device, part) is not None for part in path.split("/")))
def check_paths(paths: list[str]) -> None:
    need("README.md" in paths, 207, "5.3")
    files = set[str]()
    need((keys := [(path != "README.md", path.encode()) for path in paths]) == sorted(set(keys)), 205, "5.4")
    for path in (*paths, "manifest.json", "attestation.dsse.json"):
        need(not bad_path(path) and (key := normalize("NFKC", normalize("NFKC", path).casefold())) not in files, 204, "5.11", path)
        files.add(key)
    need(not files & {f[: s.start()] for f in files for s in re.finditer("/", f)}, 204, "5.11")
def unbase64(text: object, size: int = 0) -> bytes:
    need(re.fullmatch("([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", str(text)), 301, "7.1")
    need(base64.b64encode(data := base64.b64decode(str(text))).decode() == text and size in (0, len(data)), 301, "7.1 7.4")
    return data
def read_attestation(data: bytes) -> tuple[str, Any, set[str]]:  # manifest digest, predicate, fingerprints of signers
    wire = read(data, 301, canonical=True)
    need(isinstance(wire, dict) and set(wire) == {"payload", "payloadType", "signatures"} and wire["payloadType"] == "application/vnd.in-toto+json" and isinstance(wire["signatures"], list) and all(isinstance(
         s, dict) and set(s) == {"keyid", "sig"} and isinstance(s["keyid"], str) for s in wire["signatures"]), 301, "7.1 7.2")
    payload, signatures = unbase64(wire["payload"]), [(e["keyid"], unbase64(e["sig"], 64)) for e in wire["signatures"]]
    need(signatures, 302, "7.3")
    need(len(signatures) <= 64, 109, "7.3")
    signers, message = set[str](), b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload)
    for line, signature in signatures:
        wired = re.fullmatch("ssh-ed25519 (AAAAC3NzaC1lZDI1NTE5AAAAI[0-9A-Za-z+/]{43})", line)
        y = int.from_bytes((key := base64.b64decode(wired[1] if wired else ""))[19:], "little") % 2**255
        need(wired and y < P and y not in SMALL, 304, "7.5 7.6", line)
        try: Ed25519PublicKey.from_public_bytes(key[19:]).verify(signature, message)
        except InvalidSignature: continue
        signers |= {line, "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode()[:43]}
    need(signers, 303, "7.7")
    subject, predicate = (statement := read(payload, 305, "statement", canonical=True))["subject"], statement["predicate"]
    need((statement["_type"], statement["predicateType"], len(subject), subject and subject[0]["name"]) ==
         ("https://in-toto.io/Statement/v1", "urn:repropack:release:v1", 1, "manifest.json") and re.fullmatch("{'sha256': '[0-9a-f]{64}'}", str(subject[0]["digest"])), 305, "7.8")
    need((predicate["format"], predicate["version"]) == ("rpk", 1), 202, "7.9")
    return subject[0]["digest"]["sha256"], predicate, signers
def check_records(members: dict[str, bytes], run_id: str) -> list[Any]:  # section 6; returns what they name as code
    def record(path: str, schema: str) -> Any:
        need(path in members, 207, "5.3", path)
        return read(members[path], 501, schema)
    claims, runs, named_code = record("claims.json", "claims"), list[Any](), list[Any]()
    while not runs or f"runs/{len(runs) + 1}/run.json" in members:
        runs.append(record(f"runs/{len(runs) + 1}/run.json", "run"))
        record(f"runs/{len(runs)}/metrics.json", "metrics")
    need(max(sum(len(r["record"]["segments"]) for r in runs), len(claims["claims"]) / 10, len(runs)) <= 1000, 109, "10.1")
    need(claims["run"] == run_id == runs[-1]["record"]["id"] and len({run["record"]["id"] for run in runs}) == len(runs), 502, "6.3")
    data = {p[5:-5]: record(p, "data-manifest") for p in members if re.fullmatch(r"data/[^/]+\.json", p)}
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in members.items()}
    for number, run in enumerate(runs):
        need(re.fullmatch("environment(/[0-9]{1,4})?", run["environment"]) and all(c["member"] in members and c["member"].startswith("code/")
             for c in run["code"]) and all(digests.get(a["member"]) == a["sha256"] for a in run.get("artifacts", ())) and set(run.get("data", ())) <= set(data), 502, "6.2")
        need(record(f"{run['environment']}/environment.json", "environment").get("python") is None or f"{run['environment']}/pylock.toml" in members, 502, "6.2")
        listed = {(f["path"], f["sha256"]) for name in run.get("data", ()) if name == "project" for f in data[name]["files"]}
        trees, made, earlier = {(c["root"], c["tree"]): set[str]() for c in run["code"]}, set[Any](), {r["record"]["id"] for r in runs[:number]}
        for call in run["record"]["segments"]:
            materials, roots = call.get("materials", ()), call.get("roots", ())
            for root, source in (("{project}", call["source"] or {}), *((r["root"], r["source"]) for r in roots)):
                need((root, source.get("tree")) in trees, 502, "6.2 6.8")
                trees[root, source["tree"]] = set(source.get("submodules", ()))
            named = ["{project}", *(r["root"] for r in roots if re.fullmatch(r"\{code:[A-Za-z0-9_.-]+\}", r["root"]))]
            places = [place.partition("/") for place in (*(r["root"] for r in roots), *call.get("python_path", ()))]
            need(len(set(named)) == len(named) and all(plain(n[6:-1]) for n in named) and all(top in named and (plain(rest) or not slash) for top, slash, rest in places) and all(r.get("position") is None or (
                r["root"] in named[1:] and plain(re.sub(r"\A(\.\./){1,3}", "", p := r["position"])) and p[:3] == "../") for r in roots), 502, "6.8")
            need(all(o["run"] in earlier or (o["run"] == run["record"]["id"] and (o["path"], m["sha256"]) in made) for m in materials if (o := m.get("origin"))), 502, "6.3")
            made |= {(p["path"], p["sha256"]) for p in call.get("products", ())}
            need("\0" not in "".join((*(does := call["invocation"])["argv"], *itertools.chain(*does["variables"].items()))) and not any("=" in name or not name for name in does["variables"]), 502, "6.11")
            paths = [p["path"] for p in (*materials, *call.get("products", ()))]
            need(all(map(is_place, (*(p for p in paths if re.match(r"\{(project|data:[^}]*)\}/", p)), *call.get("directories", ()), *({does["directory"]} - {"{project}"})))) and all(m["origin"]["path"][:10] == "{project}/" and is_place(m["origin"]["path"]) for m in materials if m.get("origin")), 502, "6.12")
            need(all(re.match(r"\{(project|env|home|tmp|host|user|(data|code):[A-Za-z0-9_.-]+)\}(/|\Z)", p) and not {".", ".."} & set(p.split("/")) for p in paths), 502, "6.4", paths)
            need(all((m["path"][10:], m["sha256"]) in listed for m in materials if m["path"][:10] == "{project}/" and m["sha256"] and not m.get("origin")), 502, "6.14")
        named_code += [(c, trees[c["root"], c["tree"]]) for c in run["code"]]
    for name, manifest in data.items():
        need(re.fullmatch(r"(?!\.{1,2}$)[A-Za-z0-9_.-]{1,100}", name) and ((at := manifest.get("recorded_path")) is None or (at[:1] == "/" and "\0" not in at and (at == "/" or not {"", ".", ".."} & set(at[1:].split("/"))))), 502, "6.13")
        files, inside = {f["path"]: f["sha256"] for f in manifest["files"]}, manifest.get("included")
        need(manifest["name"] == name and inside in (None, f"data/{name}") and len(files) == len(manifest["files"]) and all(is_place("{project}/" + path) for path in files) and (not inside or all(digests.get(f"{inside}/{f}") == d for f, d in files.items())), 502, "6.4 6.7")
    return named_code
def check_code(data: bytes, tree: str, commit: str, submodules: set[str]) -> None:  # section 8
    head, _, pack = data.partition(b"\n\n")
    refs = re.sub(b"(?m)^[0-9a-f]{40} ", commit.encode() + b" ", head).decode("latin-1")
    need(refs == f"# v2 git bundle\n{commit} HEAD\n{commit} refs/heads/main" and pack[:8] == b"PACK\0\0\0\2", 401, "8.1")
    need(head == refs.encode(), 405, "8.5")
    need(int.from_bytes(pack[8:12], "big") <= 100_002, 406, "10.2")
    with tempfile.TemporaryDirectory() as place:
        def git(*words: str, most: int = -1) -> bytes:
            with subprocess.Popen(["git", "-C", place, *words], env=GIT, stdout=-1, stderr=-3) as child:
                output = child.stdout.read(most) if child.stdout else b""
                child.kill() if most == len(output) else child.wait()
            return output if child.returncode in (0, -9) else b""
        git("init", "-q", "--bare", "--template=")
        Path(place, "objects/pack/pack-x.pack").write_bytes(pack)
        need(git("index-pack", "--strict", "objects/pack/pack-x.pack"), 402, "8.2")
        stored = dict(re.findall(r"(\w+) (\w+) \d+\n", git("cat-file", "--batch-all-objects", "--batch-check").decode()))
        kinds, text = [*stored.values()], git("cat-file", "commit", commit)
        need(len(text) <= 2**16, 406, "10.2")
        need(text.startswith(b"tree " + tree.encode()), 405, "8.5")
        need(kinds.count("commit") == 1 and "tag" not in kinds and b"\nparent " not in text.split(b"\n\n")[0], 407, "8.4")
        total, reached, links, linked = 0, {commit, tree}, [], set[str]()
        for raw in [git("cat-file", "tree", oid) for oid, kind in stored.items() if kind == "tree"]:  # ls-tree hides modes
            need({*re.findall(rb"(\d+) [^\0]*\0.{20}", raw, re.DOTALL)} <= {b"100644", b"100755", b"120000", b"160000", b"40000"}, 404, "8.6")
        for n, entry in enumerate(git("ls-tree", "-rtlz", tree, most=2**25).split(b"\0")[:-1]):
            (mode, _, blob, size), path = entry.split(b"\t")[0].split(), entry.partition(b"\t")[2]
            total, name = total + int(size.replace(b"-", b"0")), os.fsdecode(os.path.basename(path))
            need(n < 100_000 and total <= 2**31 and path.count(b"/") < 64, 406, "10.2 8.8")
            need(len(path) <= 1024 and tree_name(name), 404, "8.8", path)
            if mode == b"120000": links.append((path, git("cat-file", "blob", blob.decode())))
            if mode == b"160000": linked.add(path.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace"))
            else: reached.add(blob.decode())
        need(linked == submodules, 404, "8.6")
        need(reached == set(stored), 403, "8.3")
        for path, target in links:
            first, rest = re.findall(rb"\A((?:\.{0,2}(?:/|\Z))*)(.*)\Z", target, re.DOTALL)[0]
            need(0 < len(target) <= 4096 and target[:1] != b"/" and first.count(b"..") <= path.count(b"/") and b".." not in rest.split(b"/") and os.path.basename(path).lower()[:4] != b".git" and not any(git_name(os.fsdecode(p)) for p in target.split(b"/")), 404, "8.7")
def check(data: bytes, signer: list[str], expect: list[str]) -> str:  # in the order of section 7
    starts = [0, *itertools.accumulate(next(zip(*(entries := seek_table(data)), strict=True)))]
    def frames(first: int, end: int) -> bytes: return b"".join(decoded(data[starts[n] : starts[n + 1]], entries[n][1]) for n in range(first, end))
    need(entries[-1][1] <= 512 + MIB + 1024, 109, "10.1")
    attestation = (tail := frames(len(entries) - 1, len(entries)))[512:].rstrip(b"\0")
    need(tail.startswith(header("attestation.dsse.json", len(attestation))), 107, "7.11")
    need(tail[512:] == padded(attestation) + bytes(1024), 108, "7.11")
    digest, where, signers = read_attestation(attestation)
    offset, size = where["manifest_offset"], where["manifest_size"]
    need(expect in ([], [f"sha256:{digest}"]), 307, "7.13")
    need(0 < size <= 256 * MIB and offset <= 2**44, 109, "10.1")
    sizes, own = [c for _, c in entries[:-1]], cuts(0, 512 + size + -size % 512)
    need((first := len(sizes) - len(own)) >= 0 and sizes[first:] == own and sum(sizes[:first]) == offset, 106, "3.9 7.10")
    manifest = (section := frames(first, len(sizes)))[512 : 512 + size]
    need(section[:512] == header("manifest.json", size), 107, "4.3")
    need(section[512:] == padded(manifest), 108, "4.2")
    need(hashlib.sha256(manifest).hexdigest() == digest, 203, "7.10")
    listed, members = read(manifest, 201, "manifest", canonical=True)["members"], {}
    check_paths([m["path"] for m in listed])
    heads = [header(m["path"], m["size"], m["executable"]) for m in listed]
    ends = [*itertools.accumulate(len(h) + m["size"] + -m["size"] % 512 for h, m in zip(heads, listed, strict=True))]
    places = [(m, head, end - m["size"] - -m["size"] % 512, end) for m, head, end in zip(listed, heads, ends, strict=True)]
    need(ends[-1] == offset and sizes[:first] == cuts(0, *(edge for m, _, at, end in places if m["size"] >= 4 * MIB for edge in (at, end)), offset), 106, "3.9 7.10")
    stream = frames(0, first)
    for m, head, at, end in places:
        members[m["path"]] = content = stream[at : at + m["size"]]
        need(stream.startswith(head, at - len(head)), 107, "4.3 4.4", m["path"])
        need(hashlib.sha256(content).hexdigest() == m["sha256"], 206, "5.2", m["path"])
        need(not any(stream[at + m["size"] : end]), 108, "4.2", m["path"])
    need("authorship.json" not in members or read(members["authorship.json"], 501, "authorship")["key"] in signers, 316, "19.3")
    need(not signer or signers & set(signer), 306, "7.13")
    for c, submodules in check_records(members, where["run"]): check_code(members[c["member"]], c["tree"], c["commit"], submodules)
    return f"OK sha256:{digest}"
def main(file: str, *options: str) -> str:
    signer, expect = ([v for k, v in zip(options, options[1:], strict=False) if k == o] for o in ("--signer", "--expect"))
    try: return check(Path(file).read_bytes(), signer, expect)
    except RefusedError as error: return str(error)
if __name__ == "__main__":
    print(result := main(*sys.argv[1:]))
    sys.exit(not result.startswith("OK"))
