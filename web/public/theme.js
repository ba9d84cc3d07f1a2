// Applies the stored theme before the first paint. Without a stored one, or without storage, CSS follows the system.
try {
  const theme = JSON.parse(localStorage.getItem('pulse.preferences') ?? '{}').theme
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme
} catch {
  // Storage may be blocked or damaged; the system's theme is a good answer.
}
