/** A base of Kustomize with the objects of an endpoint, and an overlay for each environment. */
import { stringify } from 'yaml'
import { manifestFiles } from '../manifest.ts'
import { renderEndpoint } from '../render.ts'
import { resolveKubernetes } from '../resolve.ts'
import { changed } from './places.ts'
import type { EndpointDocument } from '../../contract/endpoint.ts'
import type { KubernetesObject } from '../object.ts'
import type { ResolvedKubernetes } from '../resolve.ts'
import type { Package } from './files.ts'

const API = { apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization' } as const

interface Operation {
  readonly op: 'replace' | 'add' | 'remove'
  /** JSON pointer. */
  readonly path: string
  readonly value?: unknown
}

/**
 * `base`, and `overlays/NAME` for each environment: its namespace is its name. The last one is as the endpoint declares; those before it
 * have one pod of each variant.
 */
export function kustomization(document: EndpointDocument, environments: readonly string[]): Package {
  const resolved = resolveKubernetes(document)
  const base = renderEndpoint(document)
  const manifests = manifestFiles(base)
  const kustomizationFile = (content: object): string => stringify({ ...API, ...content }, { lineWidth: 0, version: '1.1' })
  return {
    files: new Map([
      ['base/kustomization.yaml', kustomizationFile({ resources: [...manifests.keys()] })],
      ...[...manifests].map(([name, text]): [string, string] => [`base/${name}`, text]),
      ...environments.map((environment, index): [string, string] => [
        `overlays/${environment}/kustomization.yaml`,
        kustomizationFile(overlay(document, { resolved, base, environment, isSmall: index < environments.length - 1 })),
      ]),
    ]),
    notes: [],
  }
}

interface OverlaySource {
  readonly resolved: ResolvedKubernetes
  readonly base: readonly KubernetesObject[]
  readonly environment: string
  /** One pod of each variant. */
  readonly isSmall: boolean
}

function overlay(document: EndpointDocument, { resolved, base, environment, isSmall }: OverlaySource): object {
  const { workloads, scaler, spec } = resolved
  const kubernetes = { ...document.spec.kubernetes, namespace: environment }
  const there = renderEndpoint({ ...document, spec: { ...document.spec, kubernetes } })
  const patches = base.flatMap((object, index) => {
    const wanted = isSmall ? small(there[index]!) : there[index]!
    // The namespace of objects, and the numbers of pods, have words of their own below.
    const moved = changed(object, ['metadata', 'namespace'], () => environment)
    const operations = operationsBetween(moved, wanted).filter(({ path }) => path !== '/spec/replicas')
    return operations.length === 0 ? [] : [patchOf(object, operations)]
  })
  const images = workloads.map(({ image }) => image)
  return {
    resources: ['../../base'],
    namespace: environment,
    ...imageEntries(images),
    ...(scaler === undefined && { replicas: workloads.map(({ name }) => ({ name, count: isSmall ? 1 : spec.replicas })) }),
    ...(patches.length > 0 && { patches }),
  }
}

const LEAST: Readonly<Record<string, string>> = { HorizontalPodAutoscaler: 'minReplicas', ScaledObject: 'minReplicaCount' }

function small(object: KubernetesObject): unknown {
  const least = LEAST[object.kind]
  return least === undefined ? object : changed(object, ['spec', least], (value) => Math.min(1, Number(value)))
}

function patchOf({ apiVersion, kind, metadata }: KubernetesObject, operations: readonly Operation[]): object {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : [undefined, apiVersion]
  return {
    target: { ...(group !== undefined && { group }), version, kind, name: metadata.name },
    // JSON: kustomize cuts spaces at the end of a patch, and with them the last line break of a text in YAML.
    patch: JSON.stringify(operations, null, 2),
    ...(operations.some(({ path }) => path === '/metadata/name') && { options: { allowNameChange: true } }),
  }
}

/** Where `kustomize edit set image` changes the image; none of a repository that several variants take different images from. */
function imageEntries(images: readonly string[]): object {
  const byRepository = Map.groupBy(new Set(images), (image) => referenceOf(image).repository)
  const entries = [...byRepository.values()].flatMap((all) => (all.length === 1 ? [referenceOf(all[0]!)] : []))
  return entries.length === 0 ? {} : { images: entries.map(({ repository, ...version }) => ({ name: repository, ...version })) }
}

/** REPOSITORY[:TAG][@DIGEST]. */
function referenceOf(image: string): { readonly repository: string; readonly newTag?: string; readonly digest?: string } {
  const [name = image, digest] = image.split('@')
  const [, repository = name, tag] = /^(.+?)(?::([\w.-]+))?$/.exec(name) ?? []
  return { repository, ...(tag !== undefined && digest === undefined && { newTag: tag }), ...(digest !== undefined && { digest }) }
}

function operationsBetween(from: unknown, to: unknown, path = ''): Operation[] {
  if (Object.is(from, to)) return []
  if (Array.isArray(from) && Array.isArray(to) && from.length === to.length)
    return from.flatMap((one: unknown, index) => operationsBetween(one, to[index], `${path}/${index}`))
  if (isPlain(from) && isPlain(to))
    return [...new Set([...Object.keys(from), ...Object.keys(to)])].flatMap((key): Operation[] => {
      const at = `${path}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`
      if (to[key] === undefined) return from[key] === undefined ? [] : [{ op: 'remove', path: at }]
      return from[key] === undefined ? [{ op: 'add', path: at, value: to[key] }] : operationsBetween(from[key], to[key], at)
    })
  return [{ op: 'replace', path, value: to }]
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
