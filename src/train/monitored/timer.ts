/** @file When hooks act: once every so many steps, or seconds. @see TensorFlow python/training/basic_session_run_hooks.py "SecondOrStepTimer" */

import { now } from "#platform";
import { VarscopeError } from "../../base/index.ts";

export interface Every {
  readonly everySecs?: number | null | undefined;
  readonly everySteps?: number | null | undefined;
  /** seconds since 1970; the machine's clock */
  readonly clock?: (() => number) | undefined;
}

/** Remembers the step and the time at which it was last triggered. */
export interface HookTimer {
  /** Whether it is time at this step: always the first time, never twice at one step. */
  shouldTrigger(step: number): boolean;
  /** Notes that it was triggered. @returns steps and seconds since the time before; null the first time */
  trigger(step: number): { readonly steps: number; readonly seconds: number } | null;
  lastStep(): number | null;
  reset(): void;
}

/** @throws VarscopeError INVALID_ARGUMENT - not exactly one of seconds and steps is given */
export function secondOrStepTimer({ everySecs, everySteps, clock = now }: Every): HookTimer {
  const [secs, steps] = [everySecs ?? null, everySteps ?? null];
  if (secs === null && steps === null) {
    throw new VarscopeError("INVALID_ARGUMENT", "Either every_secs or every_steps should be provided.");
  }
  if (secs !== null && steps !== null) {
    throw new VarscopeError("INVALID_ARGUMENT", "Can not provide both every_secs and every_steps.");
  }
  let last: { readonly step: number; readonly time: number } | null = null;
  return {
    shouldTrigger(step) {
      if (last === null) return true;
      if (last.step === step) return false;
      return secs === null ? step >= last.step + steps! : clock() >= last.time + secs;
    },
    trigger(step) {
      const before = last;
      last = { step, time: clock() };
      return before === null ? null : { steps: step - before.step, seconds: last.time - before.time };
    },
    lastStep: () => last?.step ?? null,
    reset() {
      last = null;
    },
  };
}
