import { hostname } from 'node:os'
import { slipwayVersion } from '../../core/version.ts'
import { provenanceOf } from '../../images/attest/provenance.ts'
import { cycloneDxOf } from '../../images/attest/sbom-cyclonedx.ts'
import { spdxOf } from '../../images/attest/sbom-spdx.ts'
import { findImage } from '../../images/inspect/find-image.ts'
import { packageReading, packagesOf } from '../../images/inspect/packages.ts'
import { readImage } from '../../images/inspect/read-image.ts'
import { attachReferrer } from '../../images/registry/referrers.ts'
import { managerOf } from '../endpoint/documents.ts'
import { PAYLOAD_TYPE } from '../../security/dsse.ts'
import type { Bill } from '../../images/attest/bill.ts'
import type { Built, ImageModel } from '../../images/build/build.ts'
import type { BlobSink, BlobSource } from '../../images/oci.ts'

/** What is told of a build. */
export interface BuildTold {
  /** Of the image, without tag and digest. */
  readonly name: string
  readonly built: Built
  readonly models: readonly ImageModel[]
  /** Arguments that decide what is built. */
  readonly parameters: Readonly<Record<string, unknown>>
  /** Milliseconds since 1970. */
  readonly startedMs: number
}

/** What digests of models are of: a list of files, and no bytes that SHA-256 alone could be checked with. */
const TREE_DIGEST = 'slipway-tree-v1'

/** Hangs on each image what is in it, as SPDX and as CycloneDX, and how it came to be. @param source where its layers are read from */
export async function attachAttestations(sink: BlobSink, source: BlobSource, told: BuildTold): Promise<void> {
  const { builder, invocation } = builderOf(process.env)
  for (const { manifest, platform, base } of told.built.images) {
    const image = await findImage(source, manifest, platform)
    const { options, nodeVersions } = packageReading()
    const packages = packagesOf(await readImage(source, image, options), nodeVersions)
    const bill: Bill = { name: told.name, image, packages, tool: slipwayVersion() }
    const attach = async (artifactType: string, document: object, annotations?: Readonly<Record<string, string>>): Promise<void> => {
      await attachReferrer(sink, manifest, {
        artifactType,
        bytes: Buffer.from(JSON.stringify(document)),
        ...(annotations !== undefined && { annotations }),
      })
    }
    await attach('application/spdx+json', spdxOf(bill))
    await attach('application/vnd.cyclonedx+json', cycloneDxOf(bill))
    const statement = provenanceOf({
      name: told.name,
      image: manifest,
      platform,
      builder,
      invocation,
      versions: { slipway: slipwayVersion(), node: process.versions.node },
      parameters: told.parameters,
      base,
      models: told.models.map(({ name, version, digest }) => ({
        name,
        version: version === undefined ? undefined : String(version),
        digest: `${TREE_DIGEST}:${digest}`,
      })),
      startedMs: told.startedMs,
      finishedMs: Date.now(),
    })
    await attach(PAYLOAD_TYPE, statement, { 'in-toto.io/predicate-type': statement.predicateType })
  }
}

/** Who builds, as a URI, and the run of it: of a pipeline its workflow, or where it runs; else this machine. */
function builderOf(environment: NodeJS.ProcessEnv): { readonly builder: string; readonly invocation?: string } {
  const { kind, name } = managerOf(undefined, environment)
  if (kind !== 'ci') return { builder: `urn:slipway:machine:${encodeURIComponent(hostname())}` }
  if (!URL.canParse(name)) return { builder: 'urn:slipway:ci' }
  const { GITHUB_SERVER_URL: server, GITHUB_WORKFLOW_REF: workflow } = environment
  const isGithub = server !== undefined && workflow !== undefined && name.startsWith(`${server}/`)
  return { builder: isGithub ? `${server}/${workflow}` : new URL(name).origin, invocation: name }
}
