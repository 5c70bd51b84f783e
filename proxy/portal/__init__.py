"""The portal: pages for members of apps and for operators. Plain HTML from Jinja templates, and one style sheet."""
