import { verifyImage } from '../../images/attest/signature.ts'
import { copyImage } from '../../images/copy.ts'
import { parsePlatform } from '../../images/manifest.ts'
import { parseReference, referenceText } from '../../images/registry/reference.ts'
import { print } from '../output.ts'
import { copyHanging } from './hanging.ts'
import { asksImages, openNamed, progressNotes } from './registry-options.ts'
import { writeOutput } from './target.ts'
import { verifyingKeys } from './verify.ts'
import type { Command } from 'commander'
import type { ImageRegistryOptions } from './registry-options.ts'

interface PullOptions extends ImageRegistryOptions {
  readonly output: string
  readonly platform?: string
  readonly key?: readonly string[]
  readonly referrers: boolean
  readonly json?: boolean
}

export function definePull(command: Command): void {
  asksImages(command.argument('<image>', 'HOST/NAME:TAG or HOST/NAME@sha256:DIGEST'))
    .requiredOption('--output <path>', 'a folder, in the layout of OCI, or a name that ends in .tar, which docker load takes, too')
    .option('--platform <os/architecture>', 'only the image for it, such as linux/amd64')
    .option('--key <file...>', 'pull nothing that is not signed by one of these public keys')
    .option('--no-referrers', 'leave out what hangs on the image, which a folder gets with it: signatures, bills of materials')
    .option('--json', 'print JSON')
    .action(pull)
}

async function pull(name: string, options: PullOptions): Promise<void> {
  const reference = parseReference(name)
  const platform = options.platform === undefined ? undefined : parsePlatform(options.platform)
  const keys = options.key === undefined ? undefined : [...(await verifyingKeys(options.key)).values()]
  const source = await openNamed(reference, options, { onProgress: progressNotes('fetched') })
  const { descriptor: root } = await source.resolve()
  // What was verified is pulled by its digest: a tag may have moved meanwhile.
  if (keys !== undefined) await verifyImage(source, root.digest, keys)
  const { host, repository, tag = reference.digest === undefined ? 'latest' : undefined } = reference
  const known = referenceText({ host, repository, ...(tag !== undefined && { tag }) })
  const { digest, referrers } = await writeOutput(options.output, known, async (sink) => {
    const copied = await copyImage(source, sink, root, { tag, platform })
    const isFolder = !options.output.endsWith('.tar')
    return { digest: copied.digest, referrers: isFolder && options.referrers ? await copyHanging(source, copied, sink) : 0 }
  })
  const image = referenceText({ ...reference, digest })
  if (options.json === true)
    print(JSON.stringify({ apiVersion: 'slipway/v1', kind: 'PulledImage', image, digest, output: options.output, referrers }))
  else print(`pulled ${image} into ${options.output}${referrers === 0 ? '' : `, and ${referrers} that hang on it`}`)
}
