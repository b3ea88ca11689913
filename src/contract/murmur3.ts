const utf8 = new TextEncoder()
let bytes = new Uint8Array(256)

/**
 * MurmurHash3_x86_32 (Austin Appleby, public domain) of the UTF-8 bytes of a text, or of two with a byte 0 between them.
 * @returns from 0 to 2^32
 */
export function murmur3(text: string, seed = 0, second?: string): number {
  const most = (text.length + (second?.length ?? 0)) * 3 + 1
  if (bytes.length < most) bytes = new Uint8Array(most * 2)
  let length = utf8.encodeInto(text, bytes).written
  if (second !== undefined) {
    bytes[length++] = 0
    length += utf8.encodeInto(second, bytes.subarray(length)).written
  }
  return hashOf(bytes, length, seed)
}

function hashOf(data: Uint8Array, length: number, seed: number): number {
  let hash = seed | 0
  const whole = length & ~3
  for (let at = 0; at < whole; at += 4) {
    hash ^= scrambled(data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24))
    hash = (hash << 13) | (hash >>> 19)
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0
  }
  let tail = 0
  for (let at = length - 1; at >= whole; at--) tail = (tail << 8) | data[at]!
  if (length > whole) hash ^= scrambled(tail)
  hash ^= length
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

function scrambled(block: number): number {
  const mixed = Math.imul(block, 0xcc9e2d51)
  return Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593)
}
