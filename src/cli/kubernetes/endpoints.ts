/** What the commands for a cluster share: where it is, and the objects that documents are there. */
import { connect } from '../../cluster/client.ts'
import { SlipwayError } from '../../core/errors.ts'
import { objectName } from '../../kubernetes/names.ts'
import { renderEndpoint } from '../../kubernetes/render.ts'
import { readDocuments } from '../endpoint/documents.ts'
import { asksTarget } from './target.ts'
import type { Command } from 'commander'
import type { Cluster } from '../../cluster/cluster.ts'
import type { EndpointSet } from '../../cluster/revisions.ts'
import type { EndpointDocument } from '../../contract/endpoint.ts'
import type { KubernetesObject } from '../../kubernetes/object.ts'

export interface ClusterOptions {
  readonly target?: string | undefined
  readonly kubeconfig?: string | undefined
  readonly context?: string | undefined
  readonly namespace?: string | undefined
}

/** Adds the options that say which cluster. */
export function asksCluster(command: Command): Command {
  return asksTarget(command)
    .option('--context <name>', 'context of the kubeconfig; default: the current one')
    .option('--kubeconfig <file>', 'default: KUBECONFIG, else ~/.kube/config, else the service account of the pod')
    .option('--namespace <name>', 'default: that of the document, else of the context')
}

export async function clusterOf({ kubeconfig, context, namespace }: ClusterOptions): Promise<Cluster> {
  return await connect({
    ...(kubeconfig !== undefined && { kubeconfig }),
    ...(context !== undefined && { context }),
    ...(namespace !== undefined && { namespace }),
  })
}

/** An endpoint as it is to be on a cluster. */
export interface RenderedEndpoint {
  /** Path of its file. */
  readonly file: string
  readonly set: EndpointSet
  readonly objects: readonly KubernetesObject[]
}

/** All files are read before anything is asked. @throws SLW_CONFIG_INVALID */
export async function renderedOf(files: readonly string[], { namespace }: ClusterOptions, cluster: Cluster): Promise<RenderedEndpoint[]> {
  const read = await Promise.all(files.map(async (file) => ({ file, documents: await readDocuments(file) })))
  return read.flatMap(({ file, documents }) =>
    documents.map((document) => {
      const own = onKubernetes(document, file, namespace ?? document.spec.kubernetes?.namespace ?? cluster.namespace)
      return { file, set: setOf(own.metadata.name, own.spec.kubernetes?.namespace ?? cluster.namespace), objects: renderEndpoint(own) }
    }),
  )
}

function onKubernetes(document: EndpointDocument, file: string, namespace: string): EndpointDocument {
  const { spec, metadata } = document
  if (spec.target !== undefined && spec.target !== 'kubernetes')
    throw new SlipwayError('SLW_CONFIG_INVALID', `${file}: "${metadata.name}" has the target ${spec.target}, not kubernetes`)
  return { ...document, spec: { ...spec, target: 'kubernetes', kubernetes: { ...spec.kubernetes, namespace } } }
}

function setOf(endpoint: string, namespace: string): EndpointSet {
  return { endpoint, namespace, name: `slipway-${objectName(endpoint)}` }
}

/** The sets that words of a command name: files of documents, or endpoints by their names. */
export async function setsOf(words: readonly string[], options: ClusterOptions, cluster: Cluster): Promise<EndpointSet[]> {
  const sets = await Promise.all(
    words.map(async (word) => {
      const isFile = word === '-' || word.includes('/') || /\.(ya?ml|json)$/.test(word)
      if (!isFile) return [setOf(word, options.namespace ?? cluster.namespace)]
      return (await renderedOf([word], options, cluster)).map(({ set }) => set)
    }),
  )
  return sets.flat()
}
