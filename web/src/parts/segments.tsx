// A choice of one of a few, as a group of radio buttons: arrow keys work as people expect.

interface Props<Value extends string> {
  label: string;
  name: string;
  value: Value;
  options: readonly (readonly [Value, preact.ComponentChildren, string?])[];
  onChange: (value: Value) => void;
}

export function Segments<Value extends string>({ label, name, value, options, onChange }: Props<Value>) {
  return (
    <fieldset class="segments">
      <legend class="hidden">{label}</legend>
      {options.map(([option, text, title]) => (
        <label key={option} class={option === value ? 'chosen' : ''} title={title}>
          <input
            type="radio" name={name} checked={option === value} class="hidden"
            onChange={() => onChange(option)}
          />
          {text}
          {title !== undefined && <span class="hidden">{title}</span>}
        </label>
      ))}
    </fieldset>
  );
}
