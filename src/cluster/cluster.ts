/** Cluster: a cluster of Kubernetes, asked and changed. This file says what the room needs of its API. */
import type { KubernetesObject } from '../kubernetes/object.ts'

/** What the API server adds to an object. */
export interface LiveObject extends KubernetesObject {
  readonly metadata: KubernetesObject['metadata'] & {
    readonly uid: string
    readonly resourceVersion: string
    readonly generation?: number
    readonly creationTimestamp?: string
    readonly deletionTimestamp?: string
    readonly managedFields?: readonly { readonly manager: string; readonly operation: string; readonly fieldsV1?: object }[]
    readonly ownerReferences?: readonly { readonly kind: string; readonly name: string; readonly uid: string }[]
  }
}

/** The calls that the room makes. */
export interface Cluster extends AsyncDisposable {
  /** As people know it: context and address. */
  readonly name: string
  /** Undefined where there is none. */
  read(object: KubernetesObject): Promise<LiveObject | undefined>
  list(kind: {
    readonly apiVersion: string
    readonly kind: string
    readonly namespace?: string
    readonly selector?: string
  }): Promise<LiveObject[]>
  /**
   * Server-side apply under our field manager.
   * @throws SLW_CONFLICT naming who else has a field, unless `force`; SLW_INPUT_INVALID where the server refuses it
   */
  apply(object: KubernetesObject, how?: { readonly dryRun?: boolean; readonly force?: boolean }): Promise<LiveObject>
  remove(object: KubernetesObject, how?: { readonly dryRun?: boolean }): Promise<void>
}
