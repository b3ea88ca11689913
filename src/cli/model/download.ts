import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { SlipwayError } from '../../core/errors.ts'
import { ContentDigester } from '../../core/content-digest.ts'
import { part } from '../control-plane/registry-command.ts'
import type { FileAnswer } from '../../contract/registry-api.ts'
import type { RegistryClient } from '../control-plane/client.ts'

/**
 * Fetches the files of a version into a folder, each checked against its digest.
 * @param version its path below `/api/v1`
 * @throws SLW_STORE_CORRUPT for other bytes than the registry has
 */
export async function downloadVersion(client: RegistryClient, version: string, folder: string): Promise<readonly FileAnswer[]> {
  const { items } = await client.ask<{ items: FileAnswer[] }>(`${version}/files`)
  for (const { path, contentId } of items) {
    const response = await client.open(`${version}/files/${path.split('/').map(part).join('/')}`)
    const digester = new ContentDigester()
    const file = join(folder, path)
    if (!file.startsWith(`${folder}/`))
      throw new SlipwayError('SLW_STORE_CORRUPT', `the control plane names a file outside of the version: ${path}`)
    await mkdir(dirname(file), { recursive: true })
    const body = response.body === null ? Readable.from([]) : Readable.fromWeb(response.body as never)
    body.on('data', (bytes: Buffer) => digester.update(bytes))
    await pipeline(body, createWriteStream(file))
    if (digester.finish().id !== contentId)
      throw new SlipwayError('SLW_STORE_CORRUPT', `${path} came with other bytes than it has in the registry`)
  }
  return items
}
