/** A piece of a stream that is sent by itself. */
interface Block {
  /** Valid until the next block is asked for. */
  readonly bytes: Buffer
  readonly last: boolean
}

const FIRST_BYTES = 64 * 1024

/**
 * Cuts a stream into blocks of `bytesOf(index)`, the last of which may be shorter; an empty stream is one empty block. Holds
 * one block, whatever pieces the stream comes in.
 */
export async function* cutIntoBlocks(body: AsyncIterable<Uint8Array>, bytesOf: (index: number) => number): AsyncGenerator<Block> {
  let index = 0
  let block: Buffer = Buffer.alloc(0)
  let filled = 0
  for await (const piece of body) {
    let rest = piece
    while (rest.length > 0) {
      const blockBytes = bytesOf(index)
      if (filled === blockBytes) {
        yield { bytes: block.subarray(0, filled), last: false }
        index++
        filled = 0
        continue
      }
      const taken = rest.subarray(0, blockBytes - filled)
      block = withRoom(block, filled, { needed: filled + taken.length, most: blockBytes })
      block.set(taken, filled)
      filled += taken.length
      rest = rest.subarray(taken.length)
    }
  }
  yield { bytes: block.subarray(0, filled), last: true }
}

/** A block of the same bytes with room for more. Grows by doubling, so that a small object costs little. */
function withRoom(block: Buffer, filled: number, { needed, most }: { readonly needed: number; readonly most: number }): Buffer {
  if (block.length >= needed) return block
  const grown = Buffer.allocUnsafeSlow(Math.min(most, Math.max(needed, 2 * block.length, FIRST_BYTES)))
  block.copy(grown, 0, 0, filled)
  return grown
}
