// Where the dashboard begins. Read next: app.tsx (what is shown), state/store.ts (what is known).

import { render } from 'preact';
import { App } from './app';
import { startStore } from './state/store';
import './style/base.css';
import './style/layout.css';
import './style/parts.css';
import './style/tiles.css';
import './style/records.css';
import './style/add.css';

startStore();
render(<App />, document.getElementById('app')!);
