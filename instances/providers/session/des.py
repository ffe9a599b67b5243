"""DES, because VNC authentication is made of it: a challenge encrypted under a password of eight bytes. Pure.

It runs inside the sandbox, where only Python's own library is at hand. It protects nothing by itself: what keeps
strangers out is that the socket is private.
"""

FILE_KEY = bytes([23, 82, 107, 6, 35, 78, 88, 7])
"""Known to every VNC program: a password file is obfuscated with it, not encrypted."""

# fmt: off
_IP = [58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4, 62, 54, 46, 38, 30, 22, 14, 6, 64, 56, 48, 40, 32,
       24, 16, 8, 57, 49, 41, 33, 25, 17, 9, 1, 59, 51, 43, 35, 27, 19, 11, 3, 61, 53, 45, 37, 29, 21, 13, 5, 63, 55,
       47, 39, 31, 23, 15, 7]
_E = [32, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 8, 9, 10, 11, 12, 13, 12, 13, 14, 15, 16, 17, 16, 17, 18, 19, 20, 21, 20, 21,
      22, 23, 24, 25, 24, 25, 26, 27, 28, 29, 28, 29, 30, 31, 32, 1]
_P = [16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4,
      25]
_PC1 = [57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36, 63,
        55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4]
_PC2 = [14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2, 41, 52, 31, 37, 47, 55,
        30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32]
_SHIFTS = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1]
_S = [[int(digit, 16) for digit in box] for box in (
      "e4d12fb83a6c59070f74e2d1a6cb953841e8d62bfc973a50fc8249175b3ea06d",
      "f18e6b34972dc05a3d47f28ec01a69b50e7ba4d158c6932fd8a13f42b67c05e9",
      "a09e63f51dc7b428d709346a285ecbf1d6498f30b12c5ae71ad069874fe3b52c",
      "7de3069a1285bc4fd8b56f03472c1ae9a690cb7df13e52843f06a1d8945bc72e",
      "2c417ab6853fd0e9eb2c47d150fa3986421bad78f9c5630eb8c71e2d6f09a453",
      "c1af92680d34e75baf427c9561de0b389ef528c3704a1db6432c95fabe17608d",
      "4b2ef08d3c975a61d0b7491ae35c2f8614bdc37eaf6805926bd814a7950fe23c",
      "d2846fb1a93e50c71fd8a374c56b0e927b419ce206adf35821e74a8dfc90356b",
)]
# fmt: on


def encrypt(key: bytes, data: bytes) -> bytes:
    """`data`, a multiple of eight bytes, block by block; `key` as VNC writes it, each byte's bits reversed."""
    keys = _schedule(key)
    return b"".join(_block(keys, data[at : at + 8]) for at in range(0, len(data), 8))


def decrypt(key: bytes, data: bytes) -> bytes:
    keys = _schedule(key)[::-1]
    return b"".join(_block(keys, data[at : at + 8]) for at in range(0, len(data), 8))


def password_key(password: str) -> bytes:
    return password.encode()[:8].ljust(8, b"\0")


def _permute(value: int, width: int, table: list[int]) -> int:
    result = 0
    for position in table:
        result = result << 1 | value >> (width - position) & 1
    return result


def _schedule(key: bytes) -> list[int]:
    turned = bytes(int(f"{byte:08b}"[::-1], 2) for byte in key)
    mixed = _permute(int.from_bytes(turned, "big"), 64, _PC1)
    left, right = mixed >> 28, mixed & 0xFFFFFFF
    keys = []
    for shift in _SHIFTS:
        left = (left << shift | left >> (28 - shift)) & 0xFFFFFFF
        right = (right << shift | right >> (28 - shift)) & 0xFFFFFFF
        keys.append(_permute(left << 28 | right, 56, _PC2))
    return keys


def _block(keys: list[int], block: bytes) -> bytes:
    mixed = _permute(int.from_bytes(block, "big"), 64, _IP)
    left, right = mixed >> 32, mixed & 0xFFFFFFFF
    for key in keys:
        left, right = right, left ^ _round(right, key)
    swapped = right << 32 | left
    final = [0] * 64
    for place, position in enumerate(_IP, 1):
        final[position - 1] = place
    return _permute(swapped, 64, final).to_bytes(8, "big")


def _round(half: int, key: int) -> int:
    wide = _permute(half, 32, _E) ^ key
    result = 0
    for box in range(8):
        six = wide >> (42 - 6 * box) & 0x3F
        row, column = six >> 4 & 2 | six & 1, six >> 1 & 15
        result = result << 4 | _S[box][row * 16 + column]
    return _permute(result, 32, _P)
