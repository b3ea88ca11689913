import { readFile } from 'node:fs/promises'
import { SlipwayError } from '../../core/errors.ts'
import { keyId, readVerifyingKey, verifyImage } from '../../images/attest/signature.ts'
import { referenceText } from '../../images/registry/reference.ts'
import { print } from '../output.ts'
import { asksImages, openNamed } from './registry-options.ts'
import type { Command } from 'commander'
import type { KeyObject } from 'node:crypto'
import type { ImageRegistryOptions } from './registry-options.ts'

interface VerifyOptions extends ImageRegistryOptions {
  readonly key: readonly string[]
  readonly json?: boolean
}

export function defineVerify(command: Command): void {
  asksImages(command.argument('<image>', 'HOST/NAME:TAG or HOST/NAME@sha256:DIGEST'))
    .requiredOption('--key <file...>', 'public keys that are believed, PEM, such as cosign.pub; one of them is enough')
    .option('--json', 'print JSON')
    .action(verify)
}

async function verify(name: string, options: VerifyOptions): Promise<void> {
  const keys = await verifyingKeys(options.key)
  const registry = await openNamed(name, options)
  const { descriptor } = await registry.resolve()
  const found = await verifyImage(registry, descriptor.digest, [...keys.values()])
  const { host, repository } = registry.reference
  const image = referenceText({ host, repository, digest: descriptor.digest })
  const files = new Map([...keys].map(([file, key]) => [keyId(key), file]))
  if (options.json === true) {
    const signatures = found.map(({ form, manifest, key }) => ({ form, manifest, key: files.get(key) }))
    print(JSON.stringify({ apiVersion: 'slipway/v1', kind: 'ImageSignatures', image, signatures }))
  } else
    print(
      [`signed ${image}`, ...found.map(({ form, manifest, key }) => `  ${form.padEnd(6)}  ${manifest}  by ${files.get(key)}`)].join('\n'),
    )
}

/** By the paths of their files. */
export async function verifyingKeys(files: readonly string[]): Promise<ReadonlyMap<string, KeyObject>> {
  const read = files.map(async (file) => {
    const pem = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      throw new SlipwayError(
        error.code === 'ENOENT' ? 'SLW_PATH_NOT_FOUND' : 'SLW_CONFIG_INVALID',
        `--key ${file} cannot be read: ${error.message}`,
      )
    })
    return [file, readVerifyingKey(pem)] as const
  })
  return new Map(await Promise.all(read))
}
