// The chosen theme, before the first paint; state/theme.ts owns the choice.
try {
  var theme = localStorage.getItem('sightline.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch (error) {
  // No storage (a private window): the system's theme is used.
}
