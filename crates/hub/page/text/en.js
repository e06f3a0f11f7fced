// English. A text may have forms: `{one, other}`, chosen by `{n}`. `{name}` is replaced.

export default {
  // Everywhere
  app: 'Landfall',
  loading: 'Loading…',
  close: 'Close',
  cancel: 'Cancel',
  save: 'Save',
  send: 'Send',
  back: 'Back',
  none: 'none',
  on: 'On',
  off: 'Off',
  yes: 'Yes',
  no: 'No',
  copied: 'Copied',
  'copy.failed': 'This browser gives no access to the clipboard here. Select the text and copy it.',
  'error.unreachable': 'the hub does not answer',
  'error.unreachable.hint': 'Is the machine that Landfall runs on switched on, and in the same network?',
  'error.late': 'the hub took too long to answer',
  'error.http': 'something between this page and the hub answered with status {status}',
  'error.http.hint': 'Is there a proxy in front of the hub?',
  'error.view': 'This part of the page could not be loaded.',
  'error.retry': 'Try again',
  'time.now': 'just now',
  'time.ago': '{span} ago',
  'time.s': '{n} s',
  'time.min': '{n} min',
  'time.h': '{n} h',
  'time.d': { one: '{n} day', other: '{n} days' },

  // The frame around all views
  'nav': 'Main menu',
  'nav.skip': 'To the content',
  'nav.home': 'Home',
  'nav.energy': 'Energy',
  'nav.events': 'Events',
  'nav.add': 'Add devices',
  'nav.window': 'Activation window',
  'nav.settings': 'Settings',
  'nav.tokens': 'Tokens',
  'nav.backup': 'Back-up',
  'nav.console': 'Console',
  'nav.more': 'More',
  'nav.signout': 'Sign out',
  'nav.theme': 'Appearance',
  'theme.auto': 'As the system',
  'theme.light': 'Light',
  'theme.dark': 'Dark',
  'connection.lost': 'No connection to the hub. What you see may be old; trying again…',
  'connection.back': 'Connected again',
  'route.unknown': 'There is no such page.',

  // Sign-in
  'signin.title': 'Sign in',
  'signin.text': 'Landfall shows your home to those who hold a token.',
  'signin.again': 'Your token has expired or was taken away. Sign in again; what you typed is still there.',
  'signin.token': 'Token',
  'signin.hint': 'The first token is in the file admin-token of the data directory. On the machine of the hub: cat ~/.local/state/landfall/admin-token',
  'signin.missing': 'Paste a token: it begins with lf_.',
  'signin.go': 'Sign in',

  // First visit
  'first.title': 'Welcome',
  'first.text': 'There are no devices here yet. Three doors lead in:',
  'first.import': 'Import keys',
  'first.import.text': 'You have a devices.json of tinytuya, a list of tuya-cli or a file of tuya-cloudcutter? Your devices work at once, and nothing about them changes.',
  'first.window': 'Open the activation window',
  'first.window.text': 'Devices that can reach this hub instead of the vendor’s cloud may join it, for a few minutes, while you watch.',
  'first.watch': 'Just watch',
  'first.watch.text': 'See which devices announce themselves on your network. Nothing is sent to them.',

  // Overview
  'overview.title': 'Home',
  'overview.filter': 'Filter devices',
  'overview.count': { one: '{n} device', other: '{n} devices' },
  'overview.some': '{n} of {all} devices',
  'overview.power': '{power} now',
  'overview.none': 'No device fits “{filter}”.',
  'overview.elsewhere': 'No room',
  'overview.some_on': '{n} of {all} on',
  'overview.target': 'to {target}',
  'overview.children': { one: '{n} sub-device', other: '{n} sub-devices' },
  'presence.online': 'Online',
  'presence.offline': 'Offline',
  'presence.offline.since': 'Offline for {span}',
  'presence.asleep': 'Asleep',
  'presence.asleep.heard': 'Asleep, heard {ago}',
  'presence.unknown': 'Not heard yet',
  'presence.stale': 'Old reading',

  // Controls and how commands end
  'control.switch_of': '{name}: power',
  'cover.open': 'Open',
  'cover.closed': 'Closed',
  'cover.opening': 'Opening',
  'cover.closing': 'Closing',
  'cover.do.open': 'Open {name}',
  'cover.do.stop': 'Stop {name}',
  'cover.do.close': 'Close {name}',
  'outcome.pending': 'Waiting for the device…',
  'outcome.confirmed': 'Done.',
  'outcome.accepted': 'Sent.',
  'outcome.refused': 'The device refused.',
  'outcome.unconfirmed': 'Nobody knows whether it was done.',

  // Page of a device
  'device.unknown': 'There is no device {id} here. It may have been removed.',

  // Plots, energy, events

  // Adding, activation window

  // Settings, tokens, back-up, console, doctor

  // Attributes with a name of their own
  'attribute.co2': 'CO₂',
  'attribute.pm25': 'PM2.5',
  'attribute.voc': 'VOC',
};
