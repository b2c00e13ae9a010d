/**
 * @file What a variable is, of either kind: reference variable (TF 1's VariableV2) or resource variable (VarHandleOp). `variable` in
 * create.ts makes one, `getVariable` in get-variable.ts makes or shares one. A partitioned variable is several under one name.
 */

import type { DType, Shape } from "../base/index.ts";
import type { Graph, Input, Operation, Output } from "../graph/index.ts";
import type { SaveSliceInfoDef, VariableDef } from "../proto/variable.gen.ts";

export interface AssignOptions {
  /** of reference variables; TensorFlow's default differs by op */
  readonly useLocking?: boolean;
  readonly name?: string;
  /** gives the value after the assignment (default); false gives the op */
  readonly readValue?: boolean;
}

/** How copies of a variable on several replicas are kept equal. @see TensorFlow VariableSynchronization */
export const Synchronization = { AUTO: 0, NONE: 1, ON_WRITE: 2, ON_READ: 3 } as const;
/** How they are combined. @see TensorFlow VariableAggregation */
export const Aggregation = { NONE: 0, SUM: 1, MEAN: 2, ONLY_FIRST_REPLICA: 3 } as const;

/** What the two kinds have in common. */
export interface Variable {
  readonly graph: Graph;
  /** name of the variable's output: `w:0` */
  readonly name: string;
  /** VariableV2 or VarHandleOp; its name is the key in checkpoints */
  readonly op: Operation;
  /** the reference, or the resource */
  readonly handle: Output;
  readonly isResource: boolean;
  readonly dtype: DType;
  readonly shape: Shape | null;
  readonly trainable: boolean;
  readonly synchronization: number;
  readonly aggregation: number;
  /** gives the variable its initial value */
  readonly initializer: Operation;
  readonly initialValue: Output | null;
  /** the read that stands beside the variable: `w/read:0`, `w/Read/ReadVariableOp:0` */
  readonly snapshot: Output;
  /** of resource variables: whether it has a value */
  readonly isInitialized: Output | null;
  /** what an optimizer applies to the variable after each step */
  readonly constraint: ((value: Output) => Output) | null;
  readonly saveSliceInfo: SaveSliceInfoDef | null;
  /** The value as an op's input: the snapshot of a reference, a new read of a resource. */
  value(): Output;
  /** The value, read by a new op here and now: after the open control dependencies. */
  readValue(): Output;
  assign(value: Input | Variable, options?: AssignOptions): Output | Operation;
  assignAdd(delta: Input | Variable, options?: AssignOptions): Output | Operation;
  assignSub(delta: Input | Variable, options?: AssignOptions): Output | Operation;
  /** Its entry in a MetaGraph's collections. */
  toProto(): VariableDef;
}

/** A variable cut into parts along one axis. `value()` joins them; iterating gives them one by one. */
export interface PartitionedVariable extends Iterable<Variable> {
  readonly graph: Graph;
  /** prefix of the parts' names and key in checkpoints: `w` of `w/part_0` */
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** number of parts in each dim */
  readonly partitions: readonly number[];
  readonly parts: readonly Variable[];
  /** The parts joined: new nodes at each call, which wait for no open control dependency. */
  value(): Output;
  /** The parts joined here and now: after the open control dependencies. */
  readValue(): Output;
  /** Assigns to each part: a list of outputs or variables part by part, anything else cut into parts. */
  assign(value: WholeValue, options?: AssignOptions): (Output | Operation)[];
  assignAdd(delta: WholeValue, options?: AssignOptions): (Output | Operation)[];
  assignSub(delta: WholeValue, options?: AssignOptions): (Output | Operation)[];
}

/** A value for a whole partitioned variable, or values for its parts. */
export type WholeValue = Input | PartitionedVariable | readonly (Output | Variable)[];

export const isPartitionedVariable = (x: unknown): x is PartitionedVariable =>
  typeof x === "object" && x !== null && "parts" in x && "partitions" in x;

export const isVariable = (x: unknown): x is Variable =>
  typeof x === "object" && x !== null && "initializer" in x && "snapshot" in x && "handle" in x;
