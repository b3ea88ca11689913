import { isSlipwayError } from '../../core/errors.ts'
import { signatureTag } from '../../images/attest/signature.ts'
import { copyImage } from '../../images/copy.ts'
import { parseManifest } from '../../images/manifest.ts'
import type { BlobSink, BlobSource, Descriptor, Digest, Manifest } from '../../images/oci.ts'
import type { Layout } from '../../images/layout/layout.ts'
import type { Registry } from '../../images/registry/registry.ts'

/** Copies what hangs on an image in a registry, or on an index and its images, and signatures in cosign's older form. @returns how many */
export async function copyHanging(from: Registry, root: Descriptor, to: BlobSink): Promise<number> {
  let count = 0
  for (const subject of await subjectsIn(from, root)) count += await copyHangingOn(from, subject, to)
  return count
}

async function copyHangingOn(from: Registry, subject: Digest, to: BlobSink): Promise<number> {
  const found = await from.referrers(subject)
  for (const referrer of found) await copyImage(from, to, referrer)
  const tag = signatureTag(subject)
  const signatures = await from.resolve(tag).catch((error: unknown) => {
    if (isSlipwayError(error) && error.code === 'SLW_NOT_FOUND') return undefined
    throw error
  })
  if (signatures !== undefined) await copyImage(from, to, signatures.descriptor, { tag })
  return found.length + (signatures === undefined ? 0 : 1)
}

/** The same of an image in a folder or a tar archive, whose index lists what hangs on it. */
export async function pushHanging(from: Layout, root: Descriptor, to: BlobSink): Promise<number> {
  const subjects = await subjectsIn(from, root)
  const tags = new Set(subjects.map(signatureTag))
  let count = 0
  for (const one of (await from.index()).manifests) {
    const tag = Object.values(one.annotations ?? {}).find((name) => tags.has(name))
    if (tag === undefined && (one.artifactType === undefined || !(await isAbout(from, one, subjects)))) continue
    await copyImage(from, to, one, { tag })
    count++
  }
  return count
}

async function isAbout(from: Layout, one: Descriptor, subjects: readonly Digest[]): Promise<boolean> {
  const { subject } = JSON.parse((await from.readJson(one)).toString('utf8')) as Partial<Manifest>
  return subject !== undefined && subjects.includes(subject.digest)
}

/** An index, and the images in it, as bills of materials are those of one platform. */
async function subjectsIn(from: BlobSource, root: Descriptor): Promise<readonly Digest[]> {
  const { manifests = [] } = parseManifest(await from.readJson(root), root.mediaType, root.digest)
  return [...new Set([root, ...manifests].map(({ digest }) => digest))]
}
