import type { KubernetesObject } from '../object.ts'

/** What is made of an endpoint for tools of others, and sentences on what the tool cannot do that the endpoint asks for. */
export type Package = (
  | {
      /** Texts by their paths, with `/` between folders. */
      readonly files: ReadonlyMap<string, string>
    }
  | { readonly objects: readonly KubernetesObject[] }
) & { readonly notes: readonly string[] }
