/**
 * Kubernetes: what an endpoint is there. Endpoints and options in, objects and files of them out; asks no cluster (that is the room
 * `cluster`) and runs in a browser. This file says what an object is.
 */

/** Any JSON. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined }

export interface ObjectMeta {
  readonly name: string
  /** Undefined for objects that lie in no namespace. */
  readonly namespace?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}

/** An object of the Kubernetes API, as it is declared: without what the server adds. */
export interface KubernetesObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ObjectMeta
  readonly [field: string]: unknown
}

/** What tells objects apart, such as `apps/Deployment/prod/churn-main`. */
export function keyOf({ apiVersion, kind, metadata }: KubernetesObject): string {
  const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : ''
  return [group, kind, metadata.namespace ?? '', metadata.name].join('/')
}
