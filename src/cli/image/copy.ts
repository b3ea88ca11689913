import { verifyImage } from '../../images/attest/signature.ts'
import { copyImage } from '../../images/copy.ts'
import { parsePlatform } from '../../images/manifest.ts'
import { parseReference, referenceText } from '../../images/registry/reference.ts'
import { openRegistry } from '../../images/registry/registry.ts'
import { print } from '../output.ts'
import { copyHanging } from './hanging.ts'
import { asksImages, namedOptions, progressNotes } from './registry-options.ts'
import { verifyingKeys } from './verify.ts'
import type { Command } from 'commander'
import type { ImageRegistryOptions } from './registry-options.ts'

interface CopyOptions extends ImageRegistryOptions {
  readonly platform?: string
  readonly key?: readonly string[]
  readonly referrers: boolean
  readonly json?: boolean
}

export function defineCopy(command: Command): void {
  command
    .argument('<from>', 'HOST/NAME:TAG or HOST/NAME@sha256:DIGEST')
    .argument('<to>', 'HOST/NAME:TAG; --username and --password-stdin are for this one')
  asksImages(command, { sends: true })
    .option('--platform <os/architecture>', 'only the image for it, such as linux/amd64')
    .option('--key <file...>', 'copy nothing that is not signed by one of these public keys')
    .option('--no-referrers', 'leave out what hangs on the image: signatures, bills of materials, provenance')
    .option('--json', 'print JSON')
    .action(copy)
}

async function copy(from: string, to: string, options: CopyOptions): Promise<void> {
  const [near, far] = [parseReference(from), parseReference(to)]
  const isSame = near.host === far.host
  const known = await namedOptions(options)
  const sink = openRegistry(far, { ...known, onProgress: progressNotes('sent'), mountFrom: isSame ? [near.repository] : [] })
  // Credentials are for the target: another registry does not get them.
  const source = openRegistry(near, isSame ? known : { plainHttp: options.plainHttp === true })
  const { descriptor: root } = await source.resolve()
  if (options.key !== undefined) await verifyImage(source, root.digest, [...(await verifyingKeys(options.key)).values()])
  const platform = options.platform === undefined ? undefined : parsePlatform(options.platform)
  const copied = await copyImage(source, sink, root, { tag: far.tag ?? near.tag, platform })
  const referrers = options.referrers ? await copyHanging(source, copied, sink) : 0
  const { digest } = copied
  const image = referenceText({ ...far, digest })
  if (options.json === true) print(JSON.stringify({ apiVersion: 'slipway/v1', kind: 'CopiedImage', image, digest, referrers }))
  else print(`copied ${image}${referrers === 0 ? '' : `, and ${referrers} that hang on it`}`)
}
