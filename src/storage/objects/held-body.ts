import { createReadStream } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gathered, onDisk, writeAll } from './durable-file.ts'
import type { FileHandle } from 'node:fs/promises'
import type { Readable } from 'node:stream'

/** Average size below which pieces are joined. */
const SMALL_BYTES = 1024

/** A stream that was received: its size is known, and it can be sent again. */
export interface HeldBody extends AsyncDisposable {
  /** Bytes. */
  readonly size: number
  /** The bytes themselves where they are few, else a new stream of them. */
  body(): Buffer | Readable
}

/** Receives a stream: up to `memoryBytes` in memory, a longer one in a temporary file. S3 requires the length first. */
export async function holdBody(stream: AsyncIterable<Uint8Array>, memoryBytes: number): Promise<HeldBody> {
  await using opened = new AsyncDisposableStack()
  let held: Uint8Array[] = []
  let size = 0
  let file: { readonly path: string; readonly handle: FileHandle } | undefined
  for await (const { pieces, size: more } of gathered(stream)) {
    size += more
    // Joined where the pieces are many and small: each takes more memory than its bytes.
    held.push(...(more < pieces.length * SMALL_BYTES ? [Buffer.concat(pieces, more)] : pieces))
    if (file === undefined && size <= memoryBytes) continue
    file ??= await onDisk(`keep a part in ${tmpdir()}`, openTemporary(opened))
    await onDisk(`write ${file.path}`, writeAll(file.handle, held))
    held = []
  }
  await file?.handle.close()
  const bytes = Buffer.concat(held)
  const owned = opened.move()
  return {
    size,
    body: () => (file === undefined ? bytes : createReadStream(file.path)),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Opens a temporary file, which is removed with its folder at the end of `opened`. */
async function openTemporary(opened: AsyncDisposableStack): Promise<{ path: string; handle: FileHandle }> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-part-'))
  opened.defer(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'part')
  const handle = await open(path, 'wx')
  opened.defer(() => handle.close())
  return { path, handle }
}
