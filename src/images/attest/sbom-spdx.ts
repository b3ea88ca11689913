import { createHash } from 'node:crypto'
import { billId, billTime, debianPurl, imagePurl, licenceOf, purl } from './bill.ts'
import type { Bill } from './bill.ts'

interface SpdxPackage {
  readonly SPDXID: string
  readonly name: string
  readonly versionInfo?: string
  readonly downloadLocation: 'NOASSERTION'
  readonly filesAnalyzed: false
  readonly licenseConcluded: 'NOASSERTION'
  readonly licenseDeclared: string
  readonly licenseComments?: string
  readonly copyrightText: 'NOASSERTION'
  readonly sourceInfo?: string
  readonly comment?: string
  readonly primaryPackagePurpose?: 'CONTAINER' | 'APPLICATION' | 'LIBRARY' | 'OTHER'
  readonly checksums?: readonly { readonly algorithm: 'SHA256'; readonly checksumValue: string }[]
  readonly externalRefs?: readonly {
    readonly referenceCategory: 'PACKAGE-MANAGER'
    readonly referenceType: 'purl'
    readonly referenceLocator: string
  }[]
}

/** A bill of materials in SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/), as its JSON. */
export interface SpdxDocument {
  readonly spdxVersion: 'SPDX-2.3'
  readonly dataLicense: 'CC0-1.0'
  readonly SPDXID: 'SPDXRef-DOCUMENT'
  readonly name: string
  readonly documentNamespace: string
  readonly creationInfo: { readonly created: string; readonly creators: readonly string[] }
  readonly documentDescribes: readonly string[]
  readonly packages: readonly SpdxPackage[]
  readonly relationships: readonly {
    readonly spdxElementId: string
    readonly relationshipType: 'DESCRIBES' | 'CONTAINS'
    readonly relatedSpdxElement: string
  }[]
}

const IMAGE = 'SPDXRef-Image'

export function spdxOf(bill: Bill): SpdxDocument {
  const { name, image, packages, tool } = bill
  const { npm, debian, debianRelease, node, models } = packages
  const inside: SpdxPackage[] = [
    ...npm.map(({ name: own, version, licence, path, sha256 }) => {
      const found = licenceOf(licence)
      return pack(`npm ${path}`, own, version, {
        purl: purl('npm', own, version),
        purpose: 'LIBRARY',
        sourceInfo: `read from /${path}${sha256 === undefined ? '' : `, whose SHA-256 is ${sha256}`}`,
        ...(found !== undefined &&
          ('text' in found ? { licenceText: found.text } : { licence: 'id' in found ? found.id : found.expression })),
      })
    }),
    ...debian.map((one) =>
      pack(`deb ${one.name} ${one.architecture}`, one.name, one.version, {
        purl: debianPurl(one, debianRelease),
        purpose: 'LIBRARY',
        sourceInfo: `read from /${one.path}; built from ${one.source} ${one.sourceVersion}`,
      }),
    ),
    ...node.map(({ version, path, sha256 }) =>
      pack(`node ${path}`, 'node', version, {
        purl: purl('generic', 'node', version),
        purpose: 'APPLICATION',
        sourceInfo: `/${path}`,
        sha256,
      }),
    ),
    ...models.map(({ name: own, version, digest, files }) =>
      pack(`model ${own} ${version ?? ''}`, own, version, {
        purl: purl('generic', own, version),
        purpose: 'OTHER',
        comment: [
          'A model of machine learning.',
          ...(digest === undefined ? [] : [`Digest in its registry: ${digest}.`]),
          ...files.map(({ path, sha256 }) => `/${path}: SHA-256 ${sha256}.`),
        ].join(' '),
        sha256: files.length === 1 ? files[0]?.sha256 : undefined,
      }),
    ),
  ]
  const { digest } = image.descriptor
  const root: SpdxPackage = {
    ...pack('image', name, digest, { purl: imagePurl(bill), purpose: 'CONTAINER', sha256: digest.slice('sha256:'.length) }),
    SPDXID: IMAGE,
  }
  return {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name,
    documentNamespace: billId(bill, 'spdx'),
    creationInfo: { created: billTime(bill), creators: [`Tool: slipway-${tool}`] },
    documentDescribes: [IMAGE],
    packages: [root, ...inside],
    relationships: [
      { spdxElementId: 'SPDXRef-DOCUMENT', relationshipType: 'DESCRIBES', relatedSpdxElement: IMAGE },
      ...inside.map(({ SPDXID }) => ({ spdxElementId: IMAGE, relationshipType: 'CONTAINS' as const, relatedSpdxElement: SPDXID })),
    ],
  }
}

interface About {
  readonly purl: string
  readonly purpose: NonNullable<SpdxPackage['primaryPackagePurpose']>
  readonly licence?: string
  /** What is no identifier. */
  readonly licenceText?: string
  readonly sourceInfo?: string
  readonly comment?: string
  readonly sha256?: string | undefined
}

/** @param key what it is known by in the image: two of one name differ in it */
function pack(key: string, name: string, version: string | undefined, about: About): SpdxPackage {
  const { purl: locator, purpose, licence = 'NOASSERTION', licenceText, sourceInfo, comment, sha256 } = about
  const id = createHash('sha256').update(key).digest('hex').slice(0, 16)
  return {
    SPDXID: `SPDXRef-${key.split(' ')[0]}-${name.replaceAll(/[^A-Za-z0-9.]+/g, '-')}-${id}`,
    name,
    ...(version !== undefined && { versionInfo: version }),
    downloadLocation: 'NOASSERTION',
    filesAnalyzed: false,
    licenseConcluded: 'NOASSERTION',
    licenseDeclared: licence,
    ...(licenceText !== undefined && { licenseComments: `The package says: ${licenceText}` }),
    copyrightText: 'NOASSERTION',
    ...(sourceInfo !== undefined && { sourceInfo }),
    ...(comment !== undefined && { comment }),
    primaryPackagePurpose: purpose,
    ...(sha256 !== undefined && { checksums: [{ algorithm: 'SHA256', checksumValue: sha256 }] }),
    externalRefs: [{ referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: locator }],
  }
}
