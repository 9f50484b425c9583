// The question before unsaved changes are lost. A dialog of the browser's own: it keeps the focus, takes Escape for an
// answer, and gives the focus back to where it was.

import { useEffect, useRef } from 'preact/hooks';
import { leaveQuestion, type LeaveQuestion as Asked } from '../state/unsaved';

export function LeaveQuestion() {
  const question = leaveQuestion.value;
  return question === null ? null : <Question {...question} />;
}

const LEAVING = {
  title: 'Leave without saving?',
  text: 'What you have changed on this page is not saved and will be lost.',
  go: 'Leave without saving',
};
const SAVING = {
  title: 'Save this alone?',
  text: 'Something else that you have changed on this page is not saved and will be lost.',
  go: 'Save this alone',
};

function Question({ answer, saving }: Asked) {
  const words = saving ? SAVING : LEAVING;
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  // Closed before it goes: only then is the focus given back.
  const say = (leave: boolean): void => {
    dialog.current?.close();
    answer(leave);
  };
  return (
    <dialog
      ref={dialog} class="question" role="alertdialog" aria-labelledby="leave-title" aria-describedby="leave-text"
      onCancel={(event) => { event.preventDefault(); say(false); }}
    >
      <h2 id="leave-title">{words.title}</h2>
      <p id="leave-text">{words.text}</p>
      <div class="add-actions">
        <button type="button" class="button button-main" autofocus onClick={() => say(false)}>Stay here</button>
        <button type="button" class="button button-bad" onClick={() => say(true)}>{words.go}</button>
      </div>
    </dialog>
  );
}
