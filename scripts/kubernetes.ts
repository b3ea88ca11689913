/**
 * A Kubernetes control plane for the tests: kube-apiserver and kube-controller-manager in one program, built from Go modules. Made once
 * (some fifteen minutes on two cores) and kept outside the tree, so that only `npm run test:cluster` makes it.
 *
 *     program=$(scripts/node scripts/kubernetes.ts)      # and then: "$program" kube-apiserver --help
 */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheFolder, obtain, runTool } from './python-env.ts'

/** Of k8s.io/kubernetes: `v1.` before it, `v0.` for the modules that it is staged from. */
export const KUBERNETES_VERSION = '34.4'

/** Modules that lie in the folder `staging` of k8s.io/kubernetes, which its own go.mod replaces. */
const STAGED = `api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider cluster-bootstrap code-generator
  component-base component-helpers controller-manager cri-api cri-client csi-translation-lib dynamic-resource-allocation endpointslice
  externaljwt kms kube-aggregator kube-controller-manager kube-proxy kube-scheduler kubectl kubelet metrics mount-utils
  pod-security-admission sample-apiserver sample-cli-plugin sample-controller`.split(/\s+/)

const MODULE = `module slipway.test/kubernetes

go 1.24.0

require k8s.io/kubernetes v1.${KUBERNETES_VERSION}

replace (
${STAGED.map((name) => `\tk8s.io/${name} => k8s.io/${name} v0.${KUBERNETES_VERSION}`).join('\n')}
)
`

const MAIN = `package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	programs := map[string]func() *cobra.Command{
		"kube-apiserver":          apiserver.NewAPIServerCommand,
		"kube-controller-manager": controllers.NewControllerManagerCommand,
	}
	if len(os.Args) < 2 || programs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "give kube-apiserver or kube-controller-manager, and its options")
		os.Exit(2)
	}
	command := programs[os.Args[1]]()
	os.Args = os.Args[1:]
	os.Exit(cli.Run(command))
}
`

const VERSION_FLAGS = ['gitVersion', 'gitMajor', 'gitMinor', 'gitTreeState']
  .map((name, index) => {
    const value = [`v1.${KUBERNETES_VERSION}`, '1', KUBERNETES_VERSION.split('.')[0], 'clean'][index]
    return `-X k8s.io/component-base/version.${name}=${value}`
  })
  .join(' ')

const folderOf = (): string => {
  const digest = createHash('sha256')
    .update(MODULE + MAIN)
    .digest('hex')
    .slice(0, 12)
  return join(cacheFolder(), `kubernetes-${digest}`)
}

/** @returns the path of the program, if it was made before */
export function kubernetesIfMade(): string | undefined {
  const path = join(folderOf(), 'kubernetes')
  return existsSync(path) ? path : undefined
}

/** @returns the path of the program, which is made if need be */
export async function kubernetes(): Promise<string> {
  return await obtain(folderOf(), 'kubernetes', async (folder) => {
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, 'go.mod'), MODULE)
    await writeFile(join(folder, 'main.go'), MAIN)
    const go = (...args: readonly string[]): Promise<void> => runTool('env', ['-C', folder, 'CGO_ENABLED=0', 'go', ...args])
    await go('mod', 'tidy')
    await go('build', '-o', 'kubernetes', '-ldflags', `-s -w ${VERSION_FLAGS}`, '.')
  })
}

if (import.meta.main) {
  try {
    console.log(await kubernetes())
  } catch (error) {
    console.error(`kubernetes: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}
