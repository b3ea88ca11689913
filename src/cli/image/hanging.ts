import { isSlipwayError } from '../../core/errors.ts'
import { signatureTag } from '../../images/attest/signature.ts'
import { copyImage } from '../../images/copy.ts'
import { parseManifest } from '../../images/manifest.ts'
import type { BlobSink, Descriptor, Digest, Manifest } from '../../images/oci.ts'
import type { Layout } from '../../images/layout/layout.ts'
import type { Registry } from '../../images/registry/registry.ts'

/** Copies what hangs on an image in a registry, and its signatures in cosign's older form. @returns how many */
export async function copyHanging(from: Registry, subject: Digest, to: BlobSink): Promise<number> {
  const { descriptor, bytes } = await from.resolve(subject)
  let count = 0
  for (const { digest } of parseManifest(bytes, descriptor.mediaType, subject).manifests ?? []) count += await copyHanging(from, digest, to)
  const found = await from.referrers(subject)
  for (const referrer of found) await copyImage(from, to, referrer)
  const tag = signatureTag(subject)
  const signatures = await from.resolve(tag).catch((error: unknown) => {
    if (isSlipwayError(error) && error.code === 'SLW_NOT_FOUND') return undefined
    throw error
  })
  if (signatures !== undefined) await copyImage(from, to, signatures.descriptor, { tag })
  return count + found.length + (signatures === undefined ? 0 : 1)
}

/** The same of an image in a folder or a tar archive, whose index lists what hangs on it. */
export async function pushHanging(from: Layout, root: Descriptor, to: BlobSink): Promise<number> {
  let count = 0
  const { digest: subject, mediaType } = root
  for (const child of parseManifest(await from.readJson(root), mediaType, subject).manifests ?? [])
    count += await pushHanging(from, child, to)
  for (const one of (await from.index()).manifests) {
    const tag = signatureTag(subject)
    const isSignature = Object.values(one.annotations ?? {}).includes(tag)
    if (!isSignature && (one.artifactType === undefined || !(await isAbout(from, one, subject)))) continue
    await copyImage(from, to, one, isSignature ? { tag } : {})
    count++
  }
  return count
}

async function isAbout(from: Layout, one: Descriptor, subject: Digest): Promise<boolean> {
  const manifest = JSON.parse((await from.readJson(one)).toString('utf8')) as Partial<Manifest>
  return manifest.subject?.digest === subject
}
