// One of a few, in a list that unfolds.

interface MenuProps {
  label: string;
  options: readonly string[];
  chosen: number;
  onChoose: (index: number) => void;
}

export function Menu({ label, options, chosen, onChoose }: MenuProps) {
  return (
    <label>
      {label}{" "}
      <select value={chosen} onChange={(event) => onChoose(event.currentTarget.selectedIndex)}>
        {options.map((option, at) => (
          <option value={at}>{option}</option>
        ))}
      </select>
    </label>
  );
}
