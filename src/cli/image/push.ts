import { stat } from 'node:fs/promises'
import { SlipwayError } from '../../core/errors.ts'
import { signImage } from '../../images/attest/signature.ts'
import { copyImage } from '../../images/copy.ts'
import { openLayout } from '../../images/layout/layout.ts'
import { parseReference, referenceText } from '../../images/registry/reference.ts'
import { print } from '../output.ts'
import { pushHanging } from './hanging.ts'
import { asksImages, openNamed, progressNotes } from './registry-options.ts'
import { signingKey } from './sign.ts'
import type { Command } from 'commander'
import type { ImageRegistryOptions } from './registry-options.ts'

interface PushOptions extends ImageRegistryOptions {
  readonly key?: string
  readonly keyPassword?: string
  readonly json?: boolean
}

export function definePush(command: Command): void {
  command
    .argument('<image>', 'folder in the layout of OCI, a tar archive of one, or what docker save wrote; PATH:TAG where it holds several')
    .argument('<to>', 'HOST/NAME:TAG')
  asksImages(command, { sends: true })
    .option('--key <secret>', 'sign it with this private key: file:PATH, env:NAME, vault:MOUNT/PATH#FIELD, aws-sm:NAME')
    .option('--key-password <secret>', 'where the password of an encrypted key is; or COSIGN_PASSWORD')
    .option('--json', 'print JSON')
    .action(push)
}

async function push(from: string, to: string, options: PushOptions): Promise<void> {
  const far = parseReference(to)
  const { path, tag } = await placeOf(from)
  const { key: place, keyPassword } = options
  const key = place === undefined ? undefined : await signingKey({ key: place, ...(keyPassword !== undefined && { keyPassword }) })
  await using layout = await openLayout(path)
  const root = await layout.resolve(tag)
  if (far.digest !== undefined && far.digest !== root.digest)
    throw new SlipwayError('SLW_USAGE', `${from} is ${root.digest}, and not ${far.digest}; leave the digest out of ${to}`)
  const sink = await openNamed(far, options, { onProgress: progressNotes('sent') })
  const { digest } = await copyImage(layout, sink, root, { tag: far.tag ?? (far.digest === undefined ? 'latest' : undefined) })
  const referrers = await pushHanging(layout, root, sink)
  const signatures =
    key === undefined ? [] : await signImage({ registry: sink, subject: root, key, forms: ['bundle', 'tag'], atMs: Date.now() })
  const image = referenceText({ ...far, digest })
  if (options.json === true) print(JSON.stringify({ apiVersion: 'slipway/v1', kind: 'PushedImage', image, digest, referrers, signatures }))
  else print(`pushed ${image}${referrers === 0 ? '' : `, and ${referrers} that hang on it`}${signatures.length === 0 ? '' : ', signed'}`)
}

/** `PATH` or `PATH:TAG`. */
async function placeOf(text: string): Promise<{ readonly path: string; readonly tag?: string }> {
  const [, path, tag] = /^(.+):([^:/]+)$/.exec(text) ?? []
  if (path === undefined || tag === undefined) return { path: text }
  const isThere = await stat(text).then(
    () => true,
    () => false,
  )
  return isThere ? { path: text } : { path, tag }
}
