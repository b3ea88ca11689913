import { STATEMENT_TYPE } from '../../security/dsse.ts'
import type { Descriptor, Digest, Platform } from '../oci.ts'

/** What in-toto says about something by its digest: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md */
export interface Statement<T> {
  readonly _type: typeof STATEMENT_TYPE
  readonly subject: readonly { readonly name: string; readonly digest: { readonly sha256: string } }[]
  readonly predicateType: string
  readonly predicate: T
}

interface ResourceDescriptor {
  readonly name?: string
  readonly uri?: string
  readonly digest?: Readonly<Record<string, string>>
}

/** How an image came to be: https://slsa.dev/spec/v1.0/provenance */
export interface SlsaProvenance {
  readonly buildDefinition: {
    readonly buildType: string
    readonly externalParameters: Readonly<Record<string, unknown>>
    readonly internalParameters: Readonly<Record<string, unknown>>
    readonly resolvedDependencies: readonly ResourceDescriptor[]
  }
  readonly runDetails: {
    readonly builder: { readonly id: string; readonly version: Readonly<Record<string, string>> }
    readonly metadata: { readonly invocationId?: string; readonly startedOn: string; readonly finishedOn: string }
  }
}

export interface ProvenanceOptions {
  /** Name of the image, without tag and digest. */
  readonly name: string
  /** Manifest of the image. */
  readonly image: Pick<Descriptor, 'digest'>
  readonly platform: Platform
  /** Who has built it, as a URI: of the workflow of CI, or of the machine's owner. Signers vouch for it. */
  readonly builder: string
  /** Of the run, as the builder names it. */
  readonly invocation?: string | undefined
  /** Versions of Slipway and Node. */
  readonly versions: { readonly slipway: string; readonly node: string }
  /** What a person asked for: arguments of `slipway build`. */
  readonly parameters: Readonly<Record<string, unknown>>
  /** What the image stands on; undefined where it is assembled. */
  readonly base?: { readonly name: string; readonly digest: Digest } | undefined
  readonly models: readonly { readonly name: string; readonly version?: string | undefined; readonly digest: string }[]
  /** Packages of Debian and npm, as purls with what is known of their bytes. */
  readonly packages?: readonly { readonly purl: string; readonly sha256?: string }[]
  /** Milliseconds since 1970. */
  readonly startedMs: number
  readonly finishedMs: number
}

export const SLSA_PREDICATE = 'https://slsa.dev/provenance/v1'
/** Names the schema of the parameters; it is a name, and nothing need answer there. */
const BUILD_TYPE = 'urn:slipway:build:v1'

/** Provenance as a statement, whose JSON is what DSSE signs (payload type `application/vnd.in-toto+json`). */
export function provenanceOf(options: ProvenanceOptions): Statement<SlsaProvenance> {
  const { name, image, platform, builder, invocation, versions, parameters, base, models, packages = [], startedMs, finishedMs } = options
  return statementOf({ name, image }, SLSA_PREDICATE, {
    buildDefinition: {
      buildType: BUILD_TYPE,
      externalParameters: parameters,
      internalParameters: { platform },
      resolvedDependencies: [
        ...(base === undefined ? [] : [{ name: 'base', uri: `oci:${base.name}@${base.digest}`, digest: { sha256: hex(base.digest) } }]),
        ...models.map((model) => ({
          name: `model ${model.name}${model.version === undefined ? '' : `/${model.version}`}`,
          uri: `models:/${model.name}${model.version === undefined ? '' : `/${model.version}`}`,
          digest: digestSet(model.digest),
        })),
        ...packages.map(({ purl, sha256 }) => ({ uri: purl, ...(sha256 !== undefined && { digest: { sha256 } }) })),
      ],
    },
    runDetails: {
      builder: { id: builder, version: versions },
      metadata: {
        ...(invocation !== undefined && { invocationId: invocation }),
        startedOn: new Date(startedMs).toISOString(),
        finishedOn: new Date(finishedMs).toISOString(),
      },
    },
  })
}

/** A statement of any kind about an image: also that of a bill of materials. */
export function statementOf<T>(
  { name, image }: Pick<ProvenanceOptions, 'name' | 'image'>,
  predicateType: string,
  predicate: T,
): Statement<T> {
  return { _type: STATEMENT_TYPE, subject: [{ name, digest: { sha256: hex(image.digest) } }], predicateType, predicate }
}

const hex = (digest: string): string => digest.slice(digest.indexOf(':') + 1)

/** A digest with or without the name of its algorithm; the content id of a registry is one of its own. */
function digestSet(digest: string): Readonly<Record<string, string>> {
  const [, algorithm = 'sha256', value = digest] = /^([a-z0-9_+.-]+):(.+)$/.exec(digest) ?? []
  return { [algorithm]: value }
}
