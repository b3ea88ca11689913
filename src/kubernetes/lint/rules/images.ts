import { containersOf } from '../pod-templates.ts'
import { textAt } from '../values.ts'
import type { Container } from '../pod-templates.ts'
import type { Manifests, Rule } from '../rule.ts'

interface Image {
  readonly of: Container
  readonly image: string
  /** Undefined where it has none. */
  readonly tag: string | undefined
  readonly hasDigest: boolean
}

function* imagesOf({ pods }: Manifests): Generator<Image> {
  for (const of of pods.flatMap(containersOf)) {
    const image = textAt(of.container, 'image')
    if (image === undefined) continue
    const [name = '', digest] = image.split('@', 2)
    // A colon before the last slash is that of a port.
    const tag = /:([^:/]+)$/.exec(name)?.[1]
    yield { of, image, tag, hasDigest: digest !== undefined }
  }
}

export const IMAGE_RULES: readonly Rule[] = [
  {
    id: 'image-latest',
    severity: 'warning',
    what: 'Images have a tag other than `latest`, or a digest.',
    why: 'What `latest` is changes between two pods of one Deployment: one is replaced and answers with another model than its neighbour, and a rollback brings back nothing.',
    readMore: 'https://kubernetes.io/docs/concepts/containers/images/#image-names',
    *check(manifests) {
      for (const { of, image, tag, hasDigest } of imagesOf(manifests))
        if (!hasDigest && (tag === undefined || tag === 'latest'))
          yield {
            object: of.pod.object,
            path: [...of.path, 'image'],
            message: `${image} of container ${of.name} ${tag === undefined ? 'has no tag, which means latest' : 'moves'}: name a version, best by digest (NAME@sha256:...)`,
          }
    },
  },
  {
    id: 'image-digest',
    severity: 'advice',
    what: 'Images are named by digest.',
    why: 'A tag can be pushed again: nodes that have it in their cache run the old image, new nodes the new one. A digest is one image for ever.',
    readMore: 'https://kubernetes.io/docs/concepts/containers/images/#image-names',
    *check(manifests) {
      for (const { of, image, tag, hasDigest } of imagesOf(manifests))
        if (!hasDigest && tag !== undefined && tag !== 'latest')
          yield {
            object: of.pod.object,
            path: [...of.path, 'image'],
            message: `${image} of container ${of.name} is named by a tag, which can move: add its digest (@sha256:...)`,
          }
    },
  },
]
