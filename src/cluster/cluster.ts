/** Cluster: a cluster of Kubernetes, asked and changed. This file says what the room needs of its API. */
import type { KubernetesObject } from '../kubernetes/object.ts'

/** One writer's fields of an object. */
export interface ManagedFields {
  readonly manager: string
  /** Apply, or Update for everything else. */
  readonly operation: string
  /** `status`, `scale`; undefined for the object itself. */
  readonly subresource?: string
  /** Fields as keys: `f:NAME`, `k:{KEYS}`, `v:VALUE`, `i:INDEX`, and `.` for the thing itself (structured-merge-diff, fieldpath). */
  readonly fieldsV1?: object
}

/** What the API server adds to an object. */
export interface LiveObject extends KubernetesObject {
  readonly metadata: KubernetesObject['metadata'] & {
    readonly uid: string
    readonly resourceVersion: string
    readonly generation?: number
    readonly creationTimestamp?: string
    readonly deletionTimestamp?: string
    readonly managedFields?: readonly ManagedFields[]
    readonly ownerReferences?: readonly { readonly kind: string; readonly name: string; readonly uid: string }[]
  }
}

/** Objects of one kind. */
export interface Listed {
  readonly apiVersion: string
  readonly kind: string
  /** Default: all namespaces. */
  readonly namespace?: string
  /** Of labels, such as `app=churn,tier!=test`. */
  readonly selector?: string
  /** Of fields, such as `involvedObject.name=churn-main`. */
  readonly fields?: string
}

export interface HowApplied {
  readonly dryRun?: boolean
  /** Takes over what belongs to others. */
  readonly force?: boolean
  /** Field manager. Default: slipway. */
  readonly manager?: string
}

/**
 * The calls that the room makes. Each ends within half a minute, or is repeated a few times where the API server is overloaded.
 * @throws SLW_UNREACHABLE; SLW_UNAUTHENTICATED; SLW_CLUSTER_FORBIDDEN with the verb and the resource; SLW_KIND_MISSING where there is no
 *   such kind, with the project that brings it
 */
export interface Cluster extends AsyncDisposable {
  /** As people know it: context and address. */
  readonly name: string
  /** Of the context, for objects that name none. */
  readonly namespace: string
  /** Undefined where there is none. */
  read(object: KubernetesObject): Promise<LiveObject | undefined>
  list(kind: Listed): Promise<LiveObject[]>
  /** The API version that the cluster prefers for a kind; undefined where it does not know it. */
  versionOf(group: string, kind: string): Promise<string | undefined>
  /**
   * Server-side apply, with fields checked strictly.
   * @throws SLW_FIELD_CONFLICT naming who else has a field, unless `force`; SLW_CLUSTER_REFUSED naming the field
   */
  apply(object: KubernetesObject, how?: HowApplied): Promise<LiveObject>
  /** Nothing where it is gone already. What it owns goes in the background. */
  remove(object: KubernetesObject, how?: { readonly dryRun?: boolean }): Promise<void>
}
