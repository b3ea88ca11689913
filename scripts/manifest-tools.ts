/**
 * What others make of manifests, for the tests: Helm, which renders and checks charts, and kustomize. Made once (minutes) and kept outside
 * the tree.
 *
 *     scripts/node scripts/manifest-tools.ts
 */
import { goProgram } from './go-program.ts'

/** @returns the path of the binary */
export async function helm(): Promise<string> {
  return await goProgram({ name: 'helm', version: '3.22.0', program: 'helm.sh/helm/v3/cmd/helm', what: 'Helm' })
}

/** @returns the path of the binary */
export async function kustomize(): Promise<string> {
  return await goProgram({ name: 'kustomize', version: '5.8.1', program: 'sigs.k8s.io/kustomize/kustomize/v5', what: 'kustomize' })
}

if (import.meta.main) {
  try {
    console.log(await kustomize())
    console.log(await helm())
  } catch (error) {
    console.error(`manifest-tools: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}
