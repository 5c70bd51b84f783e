"""The portal: pages for members of apps. Plain HTML from Jinja templates, one style sheet, no script."""
