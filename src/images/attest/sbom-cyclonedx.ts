import { billId, billTime, debianPurl, imagePurl, licenceOf, purl } from './bill.ts'
import type { Bill } from './bill.ts'

type LicenceChoice = { readonly license: { readonly id: string } | { readonly name: string } } | { readonly expression: string }

interface Component {
  readonly type: 'application' | 'library' | 'container' | 'operating-system' | 'machine-learning-model' | 'file'
  readonly 'bom-ref'?: string
  readonly name: string
  readonly version?: string
  readonly purl?: string
  readonly hashes?: readonly { readonly alg: 'SHA-256'; readonly content: string }[]
  readonly licenses?: readonly LicenceChoice[]
  readonly properties?: readonly { readonly name: string; readonly value: string }[]
  readonly components?: readonly Component[]
}

/** A bill of materials in CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/), as its JSON. */
export interface CycloneDxDocument {
  readonly bomFormat: 'CycloneDX'
  readonly specVersion: '1.6'
  readonly serialNumber: string
  readonly version: 1
  readonly metadata: {
    readonly timestamp: string
    readonly tools: { readonly components: readonly Component[] }
    readonly component: Component
  }
  readonly components: readonly Component[]
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[]
}

const IMAGE = 'image'

export function cycloneDxOf(bill: Bill): CycloneDxDocument {
  const { name, image, packages, tool } = bill
  const { npm, debian, debianRelease, node, models } = packages
  const components: Component[] = [
    ...npm.map(({ name: own, version, licence, path, sha256 }): Component => ({
      type: 'library',
      'bom-ref': `npm ${path}`,
      name: own,
      version,
      purl: purl('npm', own, version),
      ...licences(licence),
      properties: [property('path', `/${path}`), ...(sha256 === undefined ? [] : [property('package.json:sha256', sha256)])],
    })),
    ...debian.map((one): Component => ({
      type: 'library',
      'bom-ref': `deb ${one.name} ${one.architecture}`,
      name: one.name,
      version: one.version,
      purl: debianPurl(one, debianRelease),
      properties: [property('path', `/${one.path}`), property('deb:source', `${one.source} ${one.sourceVersion}`)],
    })),
    ...(debianRelease === undefined
      ? []
      : [{ type: 'operating-system' as const, 'bom-ref': 'os', name: 'debian', version: debianRelease }]),
    ...node.map(({ version, path, sha256 }): Component => ({
      type: 'application',
      'bom-ref': `node ${path}`,
      name: 'node',
      version,
      purl: purl('generic', 'node', version),
      ...hashed(sha256),
      properties: [property('path', `/${path}`)],
    })),
    ...models.map(({ name: own, version, digest, files }): Component => ({
      type: 'machine-learning-model',
      'bom-ref': `model ${own}${version === undefined ? '' : ` ${version}`}`,
      name: own,
      ...(version !== undefined && { version }),
      purl: purl('generic', own, version),
      ...(files.length === 1 && hashed(files[0]?.sha256)),
      ...(digest !== undefined && { properties: [property('model:digest', digest)] }),
      components: files.map(({ path, sha256 }) => ({ type: 'file', name: `/${path}`, ...hashed(sha256) })),
    })),
  ]
  const { digest } = image.descriptor
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: billId(bill, 'cyclonedx'),
    version: 1,
    metadata: {
      timestamp: billTime(bill),
      tools: { components: [{ type: 'application', name: 'slipway', version: tool }] },
      component: {
        type: 'container',
        'bom-ref': IMAGE,
        name,
        version: digest,
        purl: imagePurl(bill),
        ...hashed(digest.slice('sha256:'.length)),
      },
    },
    components,
    dependencies: [{ ref: IMAGE, dependsOn: components.flatMap(({ 'bom-ref': ref }) => (ref === undefined ? [] : [ref])) }],
  }
}

const property = (name: string, value: string): { readonly name: string; readonly value: string } => ({ name: `slipway:${name}`, value })

function hashed(sha256: string | undefined): Pick<Component, 'hashes'> {
  return sha256 === undefined ? {} : { hashes: [{ alg: 'SHA-256', content: sha256 }] }
}

function licences(told: string | undefined): Pick<Component, 'licenses'> {
  const found = licenceOf(told)
  if (found === undefined) return {}
  if ('expression' in found) return { licenses: [found] }
  return { licenses: [{ license: 'id' in found ? found : { name: found.text } }] }
}
