/**
 * @file The tensor through which hooks read the global step: made once a graph, and readable before the step is initialized. Start at
 * `globalStepRead`.
 *
 * @see TensorFlow python/training/training_util.py "_get_or_create_global_step_read"
 */

import { type Tensor, VarscopeError } from "../../base/index.ts";
import { cond, type Graph, type Output } from "../../graph/index.ts";
import type { Session } from "../../run/index.ts";
import { getGlobalStep, isVariableInitialized } from "../../variables/index.ts";

const KEY = "global_step_read_op_cache";

/** The read of the graph's global step; null where it has no global step. int64 [] */
export function globalStepRead(graph: Graph): Output | null {
  const [made] = graph.getCollection<Output>(KEY);
  if (made !== undefined) return made;
  const step = getGlobalStep(graph);
  if (step === null) return null;
  const read = graph.nameScope(`${step.op.name}/`, () => {
    const { initialValue } = step;
    const value =
      initialValue === null
        ? step.readValue() // of a graph from a file
        : (cond(
            isVariableInitialized(step),
            () => step.readValue(),
            () => initialValue,
          ) as Output);
    const zero = graph.constant(0, { dtype: step.dtype, name: "add/y" });
    return graph.add("AddV2", [value, zero], { name: "add" });
  });
  graph.addToCollection(KEY, read);
  return read;
}

/** @throws VarscopeError FAILED_PRECONDITION - the graph has no global step */
export function needStepRead(graph: Graph, hook: string): Output {
  const read = globalStepRead(graph);
  if (read !== null) return read;
  throw new VarscopeError("FAILED_PRECONDITION", `Global step should be created to use ${hook}.`, {
    hint: "call createGlobalStep(graph) and give the step to minimize",
  });
}

/** A global step that was fetched, as a number. */
export const stepOf = (value: unknown): number => Number((value as Tensor).data[0]);

/** The global step of a session now. */
export const readStep = async (session: Session, read: Output): Promise<number> =>
  stepOf(await session.run(read));
