import { readTokenizer } from '../../tokenizer/tokenizer.ts'
import type { TokenizerFile } from '../../model/text-files.ts'
import type { Tokenizer } from '../../tokenizer/tokenizer.ts'

/** Tokenizers that this thread has read, the last used at the end: a large vocabulary takes a hundred megabytes. */
const known = new Map<string, Tokenizer>()
const KNOWN_MAX = 8

/** The tokenizer of a file, which is read once by each thread. @throws as `readTokenizer` */
export function tokenizerOf({ digest, bytes }: TokenizerFile): Tokenizer {
  let tokenizer = known.get(digest)
  if (tokenizer === undefined) {
    tokenizer = readTokenizer(Buffer.from(bytes).toString('utf8'))
    if (known.size >= KNOWN_MAX) known.delete(known.keys().next().value!)
  } else known.delete(digest)
  known.set(digest, tokenizer)
  return tokenizer
}
