import { SlipwayError } from '../../core/errors.ts'
import { hexOf, MEDIA_TYPES } from '../oci.ts'
import type { Descriptor, Digest, Index } from '../oci.ts'

/** The annotation by which an image of a layout is found (image-spec 1.1.1, "Pre-Defined Annotation Keys"). */
export const REF_NAME = 'org.opencontainers.image.ref.name'
export const LAYOUT_FILE = 'oci-layout'
export const LAYOUT_VERSION = JSON.stringify({ imageLayoutVersion: '1.0.0' })
export const INDEX_FILE = 'index.json'
export const NO_INDEX: Index = { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [] }

export const blobPath = (digest: Digest): string => `blobs/sha256/${hexOf(digest)}`

/** @throws SLW_STORE_CORRUPT for what is no index of images */
export function parseIndex(text: string, place: string): Index {
  let index: unknown
  try {
    index = JSON.parse(text)
  } catch {
    index = undefined
  }
  if (typeof index === 'object' && index !== null && 'manifests' in index && Array.isArray(index.manifests)) return index as Index
  throw new SlipwayError('SLW_STORE_CORRUPT', `${place}: its ${INDEX_FILE} is no index of images`)
}

/** @throws SLW_NOT_FOUND naming what is there; SLW_USAGE where several are, and none is named */
export function resolveTag({ manifests }: Index, tag: string | undefined, place: string): Descriptor {
  const nameOf = ({ annotations }: Descriptor): string | undefined => annotations?.[REF_NAME]
  // What hangs on an image is none: documents with a subject have no name, and signatures of cosign the digest of their image.
  const images = manifests.filter((one) => !/^sha256-[0-9a-f]{64}(?:\.[a-z]+)?$/.test(nameOf(one) ?? ''))
  const named = images.filter((one) => nameOf(one) !== undefined)
  const isWanted = (one: Descriptor): boolean => (tag === undefined ? nameOf(one) === 'latest' : nameOf(one) === tag || one.digest === tag)
  const found = manifests.findLast(isWanted)
  // Of docker save: busybox:latest and alpine:latest.
  const isTwice =
    found !== undefined &&
    manifests.some((one) => isWanted(one) && one.digest !== found.digest && one.platform?.architecture === found.platform?.architecture)
  if (found !== undefined && !isTwice) return found
  if (tag === undefined && !isTwice) {
    const unnamed = images.filter(({ artifactType }) => artifactType === undefined)
    const [only, ...others] = manifests.length === 1 ? manifests : named.length === 0 ? unnamed : named
    if (only !== undefined && others.length === 0) return only
  }
  const there = named.map(nameOf).join(', ')
  const what = there === '' ? `${manifests.length} images without a name, which are found by their digests` : `these: ${there}`
  if (tag === undefined && manifests.length > 0)
    throw new SlipwayError('SLW_USAGE', `${place} holds several images; name one by its tag, as ${place}:TAG. There are ${what}`)
  throw new SlipwayError('SLW_NOT_FOUND', `${place} has no image ${tag ?? ''}. There are ${manifests.length === 0 ? 'none' : what}`)
}

/** An index with one more image; another one of the same name or the same bytes gives way. */
export function withImage(index: Index, descriptor: Descriptor, tag: string | undefined): Index {
  const { [REF_NAME]: _, ...others } = descriptor.annotations ?? {}
  const annotations = tag === undefined ? others : { ...others, [REF_NAME]: tag }
  const { annotations: _old, ...rest } = descriptor
  const entry: Descriptor = { ...rest, ...(Object.keys(annotations).length > 0 && { annotations }) }
  const stays = (one: Descriptor): boolean => {
    const name = one.annotations?.[REF_NAME]
    return tag === undefined ? one.digest !== entry.digest : name !== tag && (name !== undefined || one.digest !== entry.digest)
  }
  // What has a name already is not listed once more without one.
  if (tag === undefined && index.manifests.some((one) => one.digest === entry.digest)) return index
  return { ...index, manifests: [...index.manifests.filter(stays), entry] }
}
