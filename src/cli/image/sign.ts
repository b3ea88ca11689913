import { SlipwayError } from '../../core/errors.ts'
import { readSigningKey, signImage } from '../../images/attest/signature.ts'
import { referenceText } from '../../images/registry/reference.ts'
import { Secrets } from '../../security/secrets/secrets.ts'
import { print } from '../output.ts'
import { asksImages, openNamed } from './registry-options.ts'
import type { Command } from 'commander'
import type { KeyObject } from 'node:crypto'
import type { SignatureForm } from '../../images/attest/signature.ts'
import type { ImageRegistryOptions } from './registry-options.ts'

export interface SigningOptions {
  readonly key: string
  readonly keyPassword?: string
}

interface SignOptions extends ImageRegistryOptions, SigningOptions {
  readonly form: string
  readonly json?: boolean
}

export function defineSign(command: Command): void {
  asksImages(command.argument('<image>', 'HOST/NAME:TAG or HOST/NAME@sha256:DIGEST'), { sends: true })
    .requiredOption(
      '--key <secret>',
      'private key of P-256 in PEM, also as cosign keeps it: file:PATH, env:NAME, vault:MOUNT/PATH#FIELD, aws-sm:NAME',
    )
    .option('--key-password <secret>', 'where the password of an encrypted key is; or COSIGN_PASSWORD')
    .option('--form <form>', 'bundle (a referrer, for cosign 2.6 and 3), tag (for older readers and policies) or both', 'both')
    .option('--json', 'print JSON')
    .action(sign)
}

async function sign(name: string, options: SignOptions): Promise<void> {
  const forms = formsOf(options.form)
  const key = await signingKey(options)
  const registry = await openNamed(name, options)
  const { descriptor } = await registry.resolve()
  const made = await signImage({ registry, subject: descriptor, key, forms, atMs: Date.now() })
  const { host, repository } = registry.reference
  const image = referenceText({ host, repository, digest: descriptor.digest })
  if (options.json === true) print(JSON.stringify({ apiVersion: 'slipway/v1', kind: 'ImageSignatures', image, signatures: made }))
  else print([`signed ${image}`, ...made.map(({ form, manifest }) => `  ${form.padEnd(6)}  ${manifest}`)].join('\n'))
}

export async function signingKey({ key, keyPassword }: SigningOptions): Promise<KeyObject> {
  const secrets = new Secrets()
  const password = keyPassword === undefined ? process.env['COSIGN_PASSWORD'] : await secrets.secret('--key-password', keyPassword).value()
  return await readSigningKey(await secrets.secret('--key', key).value(), password)
}

function formsOf(form: string): readonly SignatureForm[] {
  if (form === 'both') return ['bundle', 'tag']
  if (form === 'bundle' || form === 'tag') return [form]
  throw new SlipwayError('SLW_USAGE', `--form ${form}: expected bundle, tag or both`)
}
