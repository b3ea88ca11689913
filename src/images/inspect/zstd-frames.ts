/** Says where frames end in what comes (RFC 8878, section 3.1.1). */
function frameEnds(): (part: Uint8Array) => number[] {
  const head = Buffer.alloc(4)
  let step: 'magic' | 'skipped' | 'descriptor' | 'header' | 'block' | 'body' | 'end' = 'magic'
  let [left, bytes, isLast, hasSum] = [4, 4, false, false]
  const expect = (next: typeof step, count: number): void => {
    step = next
    left = bytes = count
  }
  return (part) => {
    const ends: number[] = []
    for (let at = 0; ;) {
      const taken = Math.min(left, part.length - at)
      if (step === 'magic' || step === 'skipped' || step === 'descriptor' || step === 'block')
        head.set(part.subarray(at, at + taken), bytes - left)
      at += taken
      left -= taken
      if (left > 0) return ends
      if (step === 'magic') {
        const isFrame = head.readUInt32LE() === 0xfd2fb528
        expect(isFrame ? 'descriptor' : 'skipped', isFrame ? 1 : 4)
      } else if (step === 'skipped') expect('end', head.readUInt32LE())
      else if (step === 'descriptor') {
        const flags = head[0]!
        const isSingle = (flags & 0x20) !== 0
        hasSum = (flags & 4) !== 0
        expect('header', (isSingle ? 0 : 1) + [0, 1, 2, 4][flags & 3]! + [isSingle ? 1 : 0, 2, 4, 8][flags >> 6]!)
      } else if (step === 'block') {
        const field = head.readUIntLE(0, 3)
        isLast = (field & 1) !== 0
        expect('body', ((field >> 1) & 3) === 1 ? 1 : field >> 3)
      } else if (step === 'header' || (step === 'body' && !isLast)) expect('block', 3)
      else if (step === 'body') expect('end', hasSum ? 4 : 0)
      else {
        ends.push(at)
        expect('magic', 4)
      }
    }
  }
}

/** Node's decoder takes what follows a frame in the same part for rubbish, and drops it without a word: no part goes beyond a frame. */
export async function* framesApart(parts: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const endsIn = frameEnds()
  for await (const part of parts) {
    let from = 0
    for (const end of [...endsIn(part), part.length]) {
      if (end > from) yield part.subarray(from, end)
      from = end
    }
  }
}
