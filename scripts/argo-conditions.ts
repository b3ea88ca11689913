/**
 * The program by which tests ask Argo Rollouts itself what conditions of an AnalysisTemplate make of a result: its own package
 * `utils/evaluate`, built from its Go module. Made once (a minute) and kept outside the tree.
 *
 * It reads a JSON array of {success, failure, result} from standard input, where a text "NaN" in a list is no number, and prints an array
 * of phases (Successful, Failed, Inconclusive, Error).
 *
 *     scripts/node scripts/argo-conditions.ts
 */
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheFolder, obtain, runTool } from './python-env.ts'

const MODULE = `module slipway.test/argo-conditions

go 1.25.0

require github.com/argoproj/argo-rollouts v1.9.1
`

const MAIN = `package main

import (
	"encoding/json"
	"io"
	"math"
	"os"

	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/argoproj/argo-rollouts/utils/evaluate"
	"github.com/sirupsen/logrus"
)

type question struct {
	Success string
	Failure string
	Result  any
}

// numbers is what Argo makes of an answer of Prometheus.
func numbers(result any) any {
	list, isList := result.([]any)
	if !isList {
		return result
	}
	values := make([]float64, 0, len(list))
	for _, one := range list {
		number, isNumber := one.(float64)
		if !isNumber {
			number = math.NaN()
		}
		values = append(values, number)
	}
	return values
}

func main() {
	logrus.SetOutput(io.Discard)
	var questions []question
	if err := json.NewDecoder(os.Stdin).Decode(&questions); err != nil {
		panic(err)
	}
	phases := make([]string, 0, len(questions))
	for _, one := range questions {
		metric := v1alpha1.Metric{SuccessCondition: one.Success, FailureCondition: one.Failure}
		phase, err := evaluate.EvaluateResult(numbers(one.Result), metric, *logrus.NewEntry(logrus.StandardLogger()))
		if err != nil {
			phase = v1alpha1.AnalysisPhaseError
		}
		phases = append(phases, string(phase))
	}
	json.NewEncoder(os.Stdout).Encode(phases)
}
`

/** @returns the path of the program */
export async function argoConditions(): Promise<string> {
  const digest = createHash('sha256')
    .update(MODULE + MAIN)
    .digest('hex')
    .slice(0, 12)
  return await obtain(join(cacheFolder(), `argo-conditions-${digest}`), 'argo-conditions', async (folder) => {
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, 'go.mod'), MODULE)
    await writeFile(join(folder, 'main.go'), MAIN)
    const go = (...args: readonly string[]): Promise<void> => runTool('env', ['-C', folder, 'CGO_ENABLED=0', 'go', ...args])
    await go('mod', 'tidy')
    await go('build', '-o', 'argo-conditions', '-ldflags', '-s -w', '.')
  })
}

if (import.meta.main) {
  try {
    console.log(await argoConditions())
  } catch (error) {
    console.error(`argo-conditions: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}
