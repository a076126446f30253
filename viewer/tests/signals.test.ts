import { expect, test } from "vitest";
import { batch, computed, effect, signal, Tracker } from "../src/core/signals.js";

test("an effect is done now, and once after each change that it reads", () => {
  const [one, other] = [signal(1), signal(10)];
  const seen: number[] = [];
  const stop = effect(() => void seen.push(one.value + other.value));
  one.value = 1;
  one.value = 2;
  batch(() => {
    one.value = 3;
    other.value = 20;
  });
  stop();
  one.value = 4;
  expect(seen).toEqual([11, 12, 23]);
});

test("what is computed is computed when it is read, and only if what it read has changed", () => {
  const size = signal(1);
  let times = 0;
  const even = computed(() => size.value % 2 === 0);
  const told = computed(() => `${++times} ${even.value}`);
  const seen: string[] = [];
  const stop = effect(() => void seen.push(told.value));
  size.value = 3;
  size.value = 5;
  size.value = 6;
  expect(seen).toEqual(["1 false", "2 true"]);
  stop();
  size.value = 7;
  expect(times).toBe(2);
  expect(told.value).toBe("3 false");
  expect(told.peek()).toBe("3 false");
});

test("what is read only under a condition is followed only then", () => {
  const [on, value] = [signal(false), signal(0)];
  const seen: (number | null)[] = [];
  effect(() => void seen.push(on.value ? value.value : null));
  value.value = 1;
  on.value = true;
  value.value = 2;
  on.value = false;
  value.value = 3;
  expect(seen).toEqual([null, 1, 2, null]);
});

test("an effect may change values, and peeks without following", () => {
  const [from, to, aside] = [signal(1), signal(0), signal(0)];
  let times = 0;
  effect(() => {
    times++;
    to.value = from.value * 2 + aside.peek();
  });
  const seen: number[] = [];
  effect(() => void seen.push(to.value + aside.peek()));
  from.value = 2;
  aside.value = 100;
  expect([seen, times]).toEqual([[2, 4], 2]);
});

test("an effect that throws does not hinder later ones", () => {
  const value = signal(0);
  const seen: number[] = [];
  effect(() => {
    if (value.value === 1) throw new Error("no");
  });
  effect(() => void seen.push(value.value));
  expect(() => (value.value = 1)).toThrow("no");
  value.value = 2;
  expect(seen).toEqual([0, 1, 2]);
});

test("a tracker hears of a change once, until it reads again", () => {
  const value = signal(0);
  let heard = 0;
  const tracker = new Tracker(() => heard++);
  const end = tracker.start();
  expect(value.value).toBe(0);
  end();
  value.value = 1;
  value.value = 2;
  expect(heard).toBe(1);
});
